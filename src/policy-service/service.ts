/**
 * The policy service as a whole: a watched source on one side, two gRPC ports and an admin port on the other. The ports
 * open when the first snapshot is there, so that no sidecar is told about a world that is only half read.
 */
import type { ResolveSettings } from "../core/resolve/settings.ts";
import { type ObjectStatus, resolveStatus } from "../core/resolve/status.ts";
import { fail, fault, ok, type Result } from "../core/std/result.ts";
import type { SourceSnapshot } from "../edge/files/source-snapshot.ts";
import { watchFolder } from "../edge/files/watch-folder.ts";
import type { MeshServerCredentials } from "../edge/grpc/mesh-credentials.ts";
import { type BoundService, type GrpcServer, startGrpcServer } from "../edge/grpc/server.ts";
import { type AdminHandler, startAdmin } from "../edge/process/admin.ts";
import type { SchemaSet } from "../edge/schema/schema-set.ts";
import type { Log } from "../edge/telemetry/log.ts";
import { adminPages } from "./pages.ts";
import { rememberingCheck } from "./patterns.ts";
import { Publisher } from "./publish.ts";
import { destinationService } from "./serve-destination.ts";
import { inboundService } from "./serve-inbound.ts";
import { outboundService } from "./serve-outbound.ts";
import type { Source } from "./source.ts";
import { StatusReport } from "./status-report.ts";

export type PolicyServiceOptions = {
  readonly source: Source;
  /** `ip:port`; port 0 takes a free one. */
  readonly policyAddress: string;
  readonly destinationAddress: string;
  readonly adminAddress: { readonly host: string; readonly port: number };
  readonly settings: Omit<ResolveSettings, "checkPattern">;
  readonly schemas: SchemaSet;
  readonly log: Log;
  /** For both ports; undefined: clear text. */
  readonly credentials?: MeshServerCredentials | undefined;
};

export type PolicyService = {
  readonly policyPort: number;
  readonly destinationPort: number;
  readonly adminPort: number;
  /** Sidecars keep what they have and look for another replica. */
  readonly close: (graceMs: number) => Promise<void>;
};

export async function startPolicyService(
  options: PolicyServiceOptions,
): Promise<Result<PolicyService>> {
  const { source, schemas, log } = options;
  const settings: ResolveSettings = { ...options.settings, checkPattern: rememberingCheck() };
  const state = new ServiceState(settings, log);
  // What is open already is closed again when a later part cannot start.
  await using parts = new AsyncDisposableStack();
  const watch = await watchFolder({
    dir: source.dir,
    schemas,
    onChange: (snapshot) => state.take(snapshot),
  });
  parts.defer(() => watch.close());
  useEverySchema(schemas);

  const admin = await startAdmin({ address: options.adminAddress, routes: state.pages(), log });
  if (!admin.ok) return fail(...admin.faults);
  parts.defer(() => admin.value.close());
  try {
    const { publisher } = state;
    const policyServices = [
      outboundService(publisher, settings),
      inboundService(publisher, settings),
    ];
    const policy = await serve(options.policyAddress, policyServices, options);
    parts.defer(() => policy.close(0));
    const destination = await serve(
      options.destinationAddress,
      [destinationService(publisher, settings)],
      options,
    );
    parts.move();
    state.ready = true;
    return ok({
      policyPort: policy.port,
      destinationPort: destination.port,
      adminPort: admin.value.address.port,
      close: async (graceMs) => {
        state.ready = false;
        watch.close();
        await Promise.all([policy.close(graceMs), destination.close(graceMs)]);
        await admin.value.close();
      },
    });
  } catch (error) {
    return fail(fault("", error instanceof Error ? error.message : String(error)));
  }
}

/** A schema is compiled when it is first used; for routes that takes half a second, which the first route would wait. */
function useEverySchema(schemas: SchemaSet): void {
  for (const version of schemas.known) {
    const [apiVersion, kind] = version.split(" ");
    schemas.check({ apiVersion, kind });
  }
}

function serve(
  address: string,
  services: readonly BoundService[],
  { log, credentials }: PolicyServiceOptions,
): Promise<GrpcServer> {
  const onBug = (error: unknown, method: string): void =>
    log.error("call_failed", { method, error });
  return startGrpcServer({ address, services, onBug, credentials });
}

/** What the service knows, and what it has said about it. */
class ServiceState {
  readonly publisher: Publisher;
  ready = false;
  readonly #settings: ResolveSettings;
  readonly #log: Log;
  readonly #report: StatusReport;
  #snapshot: SourceSnapshot = nothing;
  #statuses: readonly ObjectStatus[] | undefined;

  constructor(settings: ResolveSettings, log: Log) {
    this.publisher = new Publisher(nothing, performance.now.bind(performance));
    this.#settings = settings;
    this.#log = log;
    this.#report = new StatusReport(log);
  }

  take(snapshot: SourceSnapshot): void {
    this.#snapshot = snapshot;
    this.#statuses = undefined;
    this.publisher.publish(snapshot);
    this.#log.info("resources_changed", {
      revision: this.publisher.revision,
      resources: snapshot.resources.length,
      broken: snapshot.broken.length,
      publishMs: this.publisher.lastChangeMs,
    });
    // The streams are written when this turn ends; what is for people comes after them.
    setImmediate(() => {
      if (this.#snapshot === snapshot) this.#report.update(snapshot.reports, this.#judge());
    });
  }

  pages(): ReadonlyMap<string, AdminHandler> {
    return adminPages({
      publisher: this.publisher,
      isReady: () => this.ready,
      snapshot: () => this.#snapshot,
      statuses: () => this.#judge(),
    });
  }

  /** Once for each snapshot. */
  #judge(): readonly ObjectStatus[] {
    this.#statuses ??= resolveStatus(this.publisher.store, this.#settings);
    return this.#statuses;
  }
}

/** Never served: the first snapshot comes before the ports open. */
const nothing: SourceSnapshot = {
  resources: [],
  broken: [],
  reports: [],
  unreadableAtStart: true,
  revision: 0,
};
