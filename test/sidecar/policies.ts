/** Small policies for tests. */
import type { Authorization } from "../../src/core/model/authorization.ts";
import { defaultLoad, type StaticHost } from "../../src/core/model/backend.ts";
import type { Endpoint, EndpointSet } from "../../src/core/model/endpoint.ts";
import type { InboundPolicy } from "../../src/core/model/inbound-policy.ts";
import { everyRequest, type HttpMatch } from "../../src/core/model/match.ts";
import { type Meta, resourceMeta } from "../../src/core/model/meta.ts";
import type { OutboundPolicy } from "../../src/core/model/outbound-policy.ts";
import { noTimeouts } from "../../src/core/model/timeouts.ts";
import { parseCidr } from "../../src/core/std/ip.ts";

function service(name: string): Meta {
  return resourceMeta({ group: "core", kind: "Service", namespace: "demo", name, port: 8080 });
}

/** Sends everything, by equal weights, to these authorities. */
export function policyTo(...authorities: readonly string[]): OutboundPolicy {
  return policyWith([{ match: everyRequest, authorities }]);
}

/** All requests go to a backend outside the mesh. */
export function policyToHosts(hosts: readonly StaticHost[]): OutboundPolicy {
  const policy = policyTo();
  const backend = { meta: service("outside"), dispatch: { kind: "static", hosts } } as const;
  const backends = [{ backend, filters: [], weight: 1 }];
  const httpRoutes = policy.httpRoutes.map((route) => ({
    ...route,
    rules: route.rules.map((rule) => ({
      ...rule,
      backends: { kind: "random-available", backends } as const,
    })),
  }));
  return { ...policy, httpRoutes };
}

export type RuleSketch = { readonly match: HttpMatch; readonly authorities: readonly string[] };

export function policyWith(rules: readonly RuleSketch[]): OutboundPolicy {
  const meta = resourceMeta({
    group: "gateway.networking.k8s.io",
    kind: "HTTPRoute",
    namespace: "demo",
    name: "test",
  });
  return {
    parent: service("backend-a"),
    protocol: "http1",
    httpRoutes: [
      {
        meta,
        hosts: [],
        rules: rules.map(({ match, authorities }) => ({
          matches: [match],
          filters: [],
          timeouts: noTimeouts,
          retry: undefined,
          session: undefined,
          backends: {
            kind: "random-available",
            backends: authorities.map((authority) => ({
              backend: {
                meta: service(authority.split(".")[0] ?? ""),
                dispatch: { kind: "balancer", authority, load: defaultLoad },
              },
              filters: [],
              weight: 1,
            })),
          },
        })),
      },
    ],
    accrual: undefined,
    opaque: { meta: service("backend-a"), refusal: "", backends: { kind: "empty" } },
  };
}

export function endpoint(port: number, ip = "127.0.0.1"): Endpoint {
  return { ip, port, weight: 1, tls: undefined, inboundPort: 0, hint: "none", labels: {} };
}

export function endpointsAt(...ports: readonly number[]): EndpointSet {
  return { exists: true, endpoints: ports.map((port) => endpoint(port)) };
}

export function everybody(name = "everybody"): Authorization {
  const any = ["0.0.0.0/0", "::/0"].flatMap((text) => parseCidr(text) ?? []);
  const meta = { group: "policy.linkerd.io", kind: "AuthorizationPolicy", namespace: "demo", name };
  return {
    meta: resourceMeta(meta),
    networks: any.map((net) => ({ net, except: [] })),
    authentication: { kind: "unauthenticated" },
  };
}

export function inboundFor(...authorizations: readonly Authorization[]): InboundPolicy {
  return {
    protocol: "http1",
    detectTimeoutMs: 0,
    server: { group: "policy.linkerd.io", kind: "server", name: "test" },
    authorizations,
    routes: [],
  };
}
