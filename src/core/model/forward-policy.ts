/**
 * What a sidecar does with an address that no policy speaks for, such as that of a pod (GEP-1294: requests to pod IPs are untouched by routes): its bytes go
 * where they were going. What its profile knows about the place, such as who is there, is kept.
 */
import type { Endpoint } from "./endpoint.ts";
import { everyRequest } from "./match.ts";
import { defaultMeta } from "./meta.ts";
import type { OutboundPolicy } from "./outbound-policy.ts";
import type { Profile } from "./profile.ts";
import { noTimeouts } from "./timeouts.ts";

/** `profile`: undefined when the destination service says that there is none. The metadata has Linkerd's names for the two cases. */
export function forwardPolicy(
  { ip, port }: { readonly ip: string; readonly port: number },
  profile: Profile | undefined,
): OutboundPolicy {
  const meta = defaultMeta(profile?.endpoint === undefined ? "fallback" : "endpoint");
  const endpoint = profile?.endpoint ?? plainEndpoint(ip, port);
  const backends = {
    kind: "first-available",
    backends: [
      { backend: { meta, dispatch: { kind: "forward", endpoint } }, filters: [], weight: 1 },
    ],
  } as const;
  const rule = {
    matches: [everyRequest],
    filters: [],
    backends,
    timeouts: noTimeouts,
    retry: undefined,
    session: undefined,
  };
  return {
    parent: meta,
    protocol: "detect",
    httpRoutes: [{ meta, hosts: [], rules: [rule] }],
    accrual: undefined,
    opaque: { meta, refusal: "", backends },
  };
}

function plainEndpoint(ip: string, port: number): Endpoint {
  return { ip, port, weight: 1, tls: undefined, inboundPort: 0, hint: "none", labels: {} };
}
