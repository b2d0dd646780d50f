/** The condition of a route of a ServiceProfile or of gRPC for people: `all of (path matches /a, method is GET)`. */
import type { ConditionEntry, HttpRouteTable } from "../table/http-route.ts";

export function describeCondition(
  table: HttpRouteTable,
  condition: ConditionEntry | undefined,
): string {
  switch (condition?.kind) {
    case undefined:
      return "every request";
    case "path":
      return `path matches ${table.patterns[condition.pattern] ?? ""}`;
    case "rpc-service":
    case "rpc-method":
      return `${condition.kind === "rpc-service" ? "service" : "method"} matches ${table.patterns[condition.pattern] ?? ""}`;
    case "method":
      return `method is ${condition.method}`;
    case "not":
      return `not (${describeCondition(table, condition.of)})`;
    case "all":
    case "any": {
      const parts = condition.of.map((one) => describeCondition(table, one));
      return `${condition.kind} of (${parts.join(", ")})`;
    }
  }
}
