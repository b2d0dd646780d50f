/** Where a rule sends its requests: which backend gets which share, and whether it can be reached. */

import type { Endpoint } from "../core/model/endpoint.ts";
import { describeMeta } from "../core/model/meta.ts";
import type { Workload } from "../core/model/workload.ts";
import { endpointStages } from "../core/pipeline.ts";
import { unreachable } from "../core/std/unreachable.ts";
import {
  type BackendChoice,
  type OutboundRule,
  type OutboundTable,
  protocolTo,
} from "../core/table/outbound.ts";
import type { BackendView } from "./explanation.ts";
import type { World } from "./world.ts";

/** What can be said about a backend before a request comes. */
export type Reach = Pick<BackendView, "to" | "speaks" | "state" | "reason"> & {
  readonly name: string;
  readonly endpoints: readonly Endpoint[];
  /** Places outside the mesh, which have no endpoints of their own. */
  readonly places: number;
};

export function reachOf(
  world: World,
  table: OutboundTable,
  choice: BackendChoice,
  client: Workload,
): Reach {
  const entry = table.backends[choice.backend];
  if (entry === undefined) throw new Error(`The table has no backend ${choice.backend}`);
  const { meta, dispatch } = entry;
  const speaks = spokenText(protocolTo(table, choice.backend));
  const blank = { name: describeMeta(meta), speaks, endpoints: [], places: 0, reason: "" };
  switch (dispatch.kind) {
    case "balancer": {
      const { authority } = dispatch;
      const { exists, endpoints } = endpointsOf(world, authority, client);
      const ready = { ...blank, to: authority, endpoints, places: endpoints.length };
      if (endpoints.length > 0) return { ...ready, state: "ready" };
      const reason = exists ? "no endpoint is ready" : "there is no such Service port";
      return { ...ready, state: "no-endpoints", reason };
    }
    case "forward": {
      const { ip, port } = dispatch.endpoint;
      return { ...blank, to: `${ip} port ${port}`, state: "ready", places: 1 };
    }
    case "static": {
      const to = dispatch.hosts.map(({ host, port }) => `${host} port ${port}`).join(", ");
      return { ...blank, to, state: "ready", places: dispatch.hosts.length };
    }
    case "lambda": {
      // The rest of the entry holds keys.
      const { region, name, qualifier } = dispatch.function;
      const version = qualifier === "" ? "" : `:${qualifier}`;
      return { ...blank, to: `${name}${version} in ${region}`, state: "ready", places: 1 };
    }
    case "fail":
      return { ...blank, to: "", state: "invalid", reason: failureOf(choice) };
    default:
      return unreachable(dispatch);
  }
}

function spokenText(protocol: OutboundTable["protocol"]): BackendView["speaks"] {
  if (protocol === "http1") return "HTTP/1.1";
  return protocol === "http2" || protocol === "grpc" ? "HTTP/2" : "";
}

function endpointsOf(
  world: World,
  authority: string,
  client: Workload,
): { readonly exists: boolean; readonly endpoints: readonly Endpoint[] } {
  return endpointStages(world.store, world.settings, authority, client).table;
}

/** The share (0 to 1) of each choice, by the same numbers that `pickBackend` draws from. */
export function sharesOf(rule: OutboundRule, reaches: readonly Reach[]): readonly number[] {
  const { distribution, choices, totalWeight } = rule;
  switch (distribution) {
    case "empty":
      return [];
    case "first-available": {
      const ready = reaches.findIndex(({ state }) => state === "ready");
      return choices.map((_choice, at) => (at === Math.max(ready, 0) ? 1 : 0));
    }
    case "random-available":
      return choices.map(({ weight }) => (totalWeight > 0 ? weight / totalWeight : 0));
    default:
      return unreachable(distribution);
  }
}

function failureOf({ filters }: BackendChoice): string {
  const failure = filters.find((filter) => filter.kind === "failure");
  return failure?.kind === "failure" ? failure.failure.message : "";
}
