/**
 * Brings a pod's redirect rules to what the settings say, or takes them away. The network namespace is that of the process.
 *
 * IPv6 goes first: where it cannot be set, IPv4 has not been touched. A family that applications can speak and that is neither redirected nor closed is
 * a failure, because names with addresses of both families would lead around the mesh.
 */
import type { InitConfig } from "../config/init.ts";
import { type Fault, fail, fault, ok, type Result } from "../core/std/result.ts";
import {
  type Flavour,
  mayChangeNetwork,
  type Ran,
  restoreRules,
  saveRules,
  speaksIpv6,
} from "./iptables.ts";
import {
  type Family,
  foreignChains,
  holdsOurs,
  restoreInput,
  type Treatment,
} from "./redirect-rules.ts";

export type Applied = {
  readonly flavour: Flavour;
  readonly ipv4: Treatment;
  /** `none` only where nothing can speak IPv6. */
  readonly ipv6: Treatment;
};

/** nft first, as Linkerd does: today's kernels all have it, and some no longer have the other. */
const flavours: readonly Flavour[] = ["nft", "legacy", "plain"];
const families: readonly Family[] = [6, 4];

export function applyRules(config: InitConfig): Result<Applied> {
  const unable = inability();
  if (unable !== undefined) return fail(unable);
  const foreign = foreignRules();
  if (foreign !== undefined) return fail(foreign);
  const held = heldFlavours();
  const [holder] = held;
  const asked = config.iptablesMode;
  if (asked !== "auto" && holder !== undefined && !held.includes(asked)) {
    const reason = `run "weft init --clean" first: the rules of this network namespace were set with "${holder}"`;
    return fail(fault("--iptables-mode", reason));
  }
  const left = holder === undefined ? flavours : [holder];
  const failures: Unset[] = [];
  for (const flavour of asked === "auto" ? left : [asked]) {
    const applied = applyWith(flavour, config);
    if (applied.kind === "done") return ok(applied.value);
    failures.push(applied);
  }
  return fail(...faultsOf(failures));
}

/** Removes what is there, of every flavour. The answer names the flavours that held something. */
export function cleanRules(config: InitConfig): Result<readonly Flavour[]> {
  const unable = inability();
  if (unable !== undefined) return fail(unable);
  const held = heldFlavours();
  for (const flavour of held) {
    for (const family of families) {
      const ran = bring(flavour, family, { config, treatment: "none" });
      if (ran.kind === "failed") return fail(fault(`IPv${family}`, ran.failure));
    }
  }
  return ok(held.length > 1 ? held.filter((flavour) => flavour !== "plain") : held);
}

/** What `applyRules` would feed to which program in a network namespace that has no rules yet. */
export function describeRules(config: InitConfig): string {
  return families
    .toReversed()
    .map((family) => {
      const treatment = treatmentOf(config, family);
      const input = restoreInput(config, family, { treatment, saved: "" });
      return `# ${family === 4 ? "iptables" : "ip6tables"}-restore --noflush\n${input}`;
    })
    .join("");
}

function treatmentOf(config: InitConfig, family: Family): Treatment {
  return family === 6 && config.ipv4Only ? "reject" : "redirect";
}

/** A flavour that is not installed is worth a word only when no other is. */
function faultsOf(failures: readonly Unset[]): readonly Fault[] {
  const reasons = failures.flatMap((unset) => (unset.kind === "failed" ? [unset.failure] : []));
  if (reasons.length > 0) return reasons.map((reason) => fault("", reason));
  const missing = failures.flatMap((unset) => (unset.kind === "missing" ? [unset.program] : []));
  const reason = `install the package "iptables" (Debian, Alpine, Fedora): not found: ${missing.join(", ")}`;
  return [fault("", reason)];
}

function inability(): Fault | undefined {
  if (mayChangeNetwork()) return undefined;
  const reason =
    'run as root with CAP_NET_ADMIN (in Kubernetes: securityContext.capabilities.add ["NET_ADMIN", "NET_RAW"]): this process may not change the rules of its network namespace';
  return fault("", reason);
}

/** "plain" is another name for one of the others, wherever these are installed, and then stands behind it. */
function heldFlavours(): readonly Flavour[] {
  return flavours.filter((flavour) =>
    families.some((family) => {
      const saved = saveRules(flavour, family);
      return saved.kind === "done" && holdsOurs(saved.output);
    }),
  );
}

/** Two meshes that redirect the same connections would hand them to each other, or one of them would get none. */
function foreignRules(): Fault | undefined {
  for (const flavour of flavours) {
    for (const family of families) {
      const saved = saveRules(flavour, family);
      const chains = saved.kind === "done" ? foreignChains(saved.output) : [];
      if (chains.length > 0) {
        const reason = `take this pod out of the other mesh first (its injection annotation, its init container or CNI plugin): the rules of "${flavour}" lead its connections to ${chains.join(" and ")} already`;
        return fault(`IPv${family}`, reason);
      }
    }
  }
  return undefined;
}

type Unset = Exclude<Ran, { readonly kind: "done" }>;

function applyWith(
  flavour: Flavour,
  config: InitConfig,
): Unset | { readonly kind: "done"; readonly value: Applied } {
  const ipv6 = treatmentOf(config, 6);
  const first = bring(flavour, 6, { config, treatment: ipv6 });
  if (first.kind !== "done" && speaksIpv6()) return explainUnset(first, 6);
  const second = bring(flavour, 4, { config, treatment: "redirect" });
  if (second.kind !== "done") {
    // Half a set of rules is of use to nobody. Where both families were redirected before, they still are.
    if (first.kind === "done" && !holdsOurs(first.before)) {
      bring(flavour, 6, { config, treatment: "none" });
    }
    return explainUnset(second, 4);
  }
  const value: Applied = { flavour, ipv4: "redirect", ipv6: first.kind === "done" ? ipv6 : "none" };
  return { kind: "done", value };
}

/** Sets one family. `before` is what `iptables-save` said. */
function bring(
  flavour: Flavour,
  family: Family,
  { config, treatment }: { readonly config: InitConfig; readonly treatment: Treatment },
): Unset | { readonly kind: "done"; readonly before: string } {
  const saved = saveRules(flavour, family);
  if (saved.kind !== "done") return saved;
  const input = restoreInput(config, family, { treatment, saved: saved.output });
  const ran: Ran = input === "" ? saved : restoreRules(flavour, family, input);
  return ran.kind === "done" ? { kind: "done", before: saved.output } : ran;
}

function explainUnset(unset: Unset, family: Family): Unset {
  if (unset.kind === "missing") return unset;
  const why =
    family === 4
      ? "the rules for IPv4 cannot be set"
      : "the rules for IPv6 cannot be set, and what goes to IPv6 addresses would go around the mesh; set sysctl net.ipv6.conf.all.disable_ipv6=1 in this network namespace if it needs no IPv6";
  return { kind: "failed", failure: `${why}: ${unset.failure}` };
}
