/** The mesh that a folder of YAML describes, read and judged as the policy service does. */
import type { PolicyServiceConfig } from "../config/policy-service.ts";
import { compilePattern } from "../core/decide/pattern.ts";
import type { ResolveSettings } from "../core/resolve/settings.ts";
import { type ObjectStatus, resolveStatus } from "../core/resolve/status.ts";
import { buildStore, type Store, type StoreContent } from "../core/resolve/store.ts";
import { describeFaults } from "../core/std/result.ts";
import { readFolder } from "../edge/files/read-folder.ts";
import type { DocumentReport } from "../edge/files/source-snapshot.ts";
import type { SchemaSet } from "../edge/schema/schema-set.ts";

export type World = {
  readonly store: Store;
  readonly settings: ResolveSettings;
  readonly reports: readonly DocumentReport[];
  /** Of all objects; worked out when somebody asks. */
  readonly statuses: () => readonly ObjectStatus[];
};

export async function readWorld(
  dir: string,
  schemas: SchemaSet,
  settings: ResolveSettings,
): Promise<World> {
  const snapshot = await readFolder({ dir, schemas });
  return makeWorld(snapshot, settings, snapshot.reports);
}

export function makeWorld(
  content: StoreContent,
  settings: ResolveSettings,
  reports: readonly DocumentReport[],
): World {
  const store = buildStore(content);
  let statuses: readonly ObjectStatus[] | undefined;
  return {
    store,
    settings,
    reports,
    statuses: () => {
      statuses ??= resolveStatus(store, settings);
      return statuses;
    },
  };
}

/** The settings of the policy service, so that the same variables give the same answers. */
export function settingsOf(config: PolicyServiceConfig): ResolveSettings {
  const { clusterDomain, clusterNetworks, defaultInboundPolicy, controlNamespace, trustDomain } =
    config;
  return {
    clusterDomain,
    clusterNetworks,
    defaultInboundPolicy,
    controlNamespace,
    trustDomain,
    checkPattern: (source) => {
      const compiled = compilePattern(source);
      return compiled.ok ? undefined : describeFaults(compiled.faults);
    },
  };
}
