import { unreachable } from "../std/unreachable.ts";
import { type Field, quote } from "./field.ts";

/** Kubernetes LabelSelector: every label and every expression must hold; an empty selector takes every object. */
export type LabelSelector = {
  readonly matchLabels: ReadonlyMap<string, string>;
  readonly matchExpressions: readonly LabelExpression[];
};

type LabelExpression = {
  readonly key: string;
  readonly operator: "In" | "NotIn" | "Exists" | "DoesNotExist";
  readonly values: readonly string[];
};

const operators: readonly LabelExpression["operator"][] = ["In", "NotIn", "Exists", "DoesNotExist"];

export function selects(selector: LabelSelector, labels: ReadonlyMap<string, string>): boolean {
  for (const [key, value] of selector.matchLabels) {
    if (labels.get(key) !== value) return false;
  }
  return selector.matchExpressions.every((expression) => holds(expression, labels));
}

/** As Kubernetes has it, `NotIn` also holds for an object that lacks the label. */
function holds(expression: LabelExpression, labels: ReadonlyMap<string, string>): boolean {
  const value = labels.get(expression.key);
  switch (expression.operator) {
    case "In":
      return value !== undefined && expression.values.includes(value);
    case "NotIn":
      return value === undefined || !expression.values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    default:
      return unreachable(expression.operator);
  }
}

export function readLabelSelector(field: Field): LabelSelector {
  return {
    matchLabels: field.at("matchLabels").textMap(),
    matchExpressions: field.at("matchExpressions").items().map(readExpression),
  };
}

function readExpression(field: Field): LabelExpression {
  const key = field.at("key").text();
  const operator = field.at("operator").required().choice(operators, "Exists");
  const values = field
    .at("values")
    .items()
    .map((item) => item.text());
  const takesValues = operator === "In" || operator === "NotIn";
  if (takesValues && values.length === 0) {
    field.at("values").fault(`must have at least one entry for operator ${quote(operator)}`);
  }
  if (!takesValues && values.length > 0) {
    field.at("values").fault(`must be absent for operator ${quote(operator)}`);
  }
  return { key, operator, values };
}
