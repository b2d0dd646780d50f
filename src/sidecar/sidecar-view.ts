/** What the admin pages may look at. */
import type { IdentityRotation } from "../edge/identity/rotate-identity.ts";
import type { ControlService } from "./control-service.ts";
import type { Discovery } from "./discovery.ts";
import { whatIsMissing } from "./readiness.ts";
import type { SpanExport } from "./span-export.ts";
import type { Surroundings } from "./surroundings.ts";
import type { EndpointWatches } from "./watch-endpoints.ts";
import type { InboundWatches } from "./watch-inbound.ts";
import type { Workers } from "./workers.ts";

export type SidecarView = {
  readonly version: string;
  readonly surroundings: Surroundings;
  readonly services: readonly ControlService[];
  readonly workers: Workers;
  readonly identity: IdentityRotation;
  readonly inbound: InboundWatches;
  readonly discovery: Discovery;
  readonly endpoints: EndpointWatches;
  /** Undefined: nothing is traced. */
  readonly spans?: SpanExport | undefined;
};

/** Empty: ready. */
export function missingIn({
  surroundings,
  services,
  workers,
  identity,
  inbound,
}: SidecarView): readonly string[] {
  const facts = workers.facts();
  const unreached = services.find(({ name, wasReached }) => name === "policy" && !wasReached);
  return whatIsMissing({
    certifiedUntilMs: identity.facts().certifiedUntilMs,
    wallMs: surroundings.wallMs(),
    unreachedPolicyService: unreached?.channel.address,
    portsWithoutPolicy: [...inbound.facts()].flatMap(([port, { snapshot, isDeclared }]) =>
      snapshot === undefined && isDeclared ? [port] : [],
    ),
    workers: facts.workers,
    workersStarted: facts.started,
    workersListening: facts.listening,
    draining: facts.draining,
  });
}
