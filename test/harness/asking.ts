/** Shards that ask for authorization before requests go on. */
import type { ExternalAuth, Filter } from "../../src/core/model/filter.ts";
import type { OutboundHttpRule } from "../../src/core/model/http-route.ts";
import type { ToWorker, WorkerLimits } from "../../src/thread/messages.ts";
import type { EchoOrigin } from "./origin.ts";
import {
  backend,
  endpoint,
  endpointSnapshot,
  outboundSnapshot,
  routed,
  rule,
  to,
} from "./policies.ts";
import { ShardInTest } from "./shard-in-test.ts";

export function authBy(parts: Partial<ExternalAuth> = {}): Filter {
  const auth: ExternalAuth = {
    protocol: "http",
    backend: backend("auth").backend,
    pathPrefix: "",
    requestHeaders: [],
    responseHeaders: [],
    maxBodyBytes: 0,
    ...parts,
  };
  return { kind: "external-auth", auth };
}

/** Who is not about time waits as long as a busy machine takes. */
export const patient: Partial<WorkerLimits> = {
  connectTimeoutMs: 60_000,
  externalAuthTimeoutMs: 60_000,
};

export type Where = { readonly app: number; readonly auth: readonly number[] };

/** What leads requests for `web` through the filters to one application, with the endpoints of the service that is asked. */
export function authSnapshots(
  { app, auth }: Where,
  filters: readonly Filter[],
  parts: Partial<OutboundHttpRule> = {},
): readonly ToWorker[] {
  return [
    endpointSnapshot("app", endpoint(app)),
    endpointSnapshot("auth", ...auth.map((port) => endpoint(port))),
    outboundSnapshot(routed(rule({ backends: to(backend("app")), filters, ...parts }))),
  ];
}

export function startAsking(
  origin: EchoOrigin,
  authorizer: { readonly port: number },
  ...filters: readonly Filter[]
): Promise<ShardInTest> {
  const where = { app: origin.port, auth: [authorizer.port] };
  return ShardInTest.start({ snapshots: authSnapshots(where, filters), limits: patient });
}
