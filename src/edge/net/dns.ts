/**
 * The addresses of a name. DNS is asked first, because its answers say how long they hold; what it does not know is looked
 * up as every other program of this machine would (hosts file, search list), which says nothing of the kind.
 */
import { lookup, Resolver } from "node:dns/promises";
import { networkInterfaces } from "node:os";

export type NameAnswer =
  | {
      readonly ok: true;
      /** As the system writes them. */
      readonly ips: readonly string[];
      readonly ttlMs: number;
    }
  | { readonly ok: false; readonly reason: string };

export type LookUp = (name: string) => Promise<NameAnswer>;

export type LookUpOptions = {
  /** `ip:port`; those of the system when absent. */
  readonly servers?: readonly string[];
  /** Those that this machine speaks when absent. */
  readonly families?: readonly Family[];
};

/** One try of one server; with two tries the answer is there, or its absence known, within 4 s. */
const tryMs = 1_500;
const tries = 2;

/** Balanced names of large providers answer with some dozens; what exceeds this is no address list. */
export const maxAddresses = 256;

type Family = 4 | 6;
type Found = { readonly ips: readonly string[]; readonly ttlMs: number };

/** A DNS that is there and does not know the name says so by other codes. While it is away the system has nobody to ask either, and takes longer to find out. */
const awayCodes: ReadonlySet<string> = new Set(["ETIMEOUT", "ESERVFAIL"]);

export function makeLookUp({ servers, families }: LookUpOptions = {}): LookUp {
  const resolver = new Resolver({ timeout: tryMs, tries });
  if (servers !== undefined) resolver.setServers(servers);
  return async (name) => {
    const wanted = families ?? familiesHere();
    const asked = await Promise.allSettled(wanted.map((family) => ask(resolver, name, family)));
    const found = asked.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    const ips = found.flatMap((one) => one.ips).slice(0, maxAddresses);
    if (ips.length > 0) {
      return { ok: true, ips, ttlMs: Math.min(...found.map(({ ttlMs }) => ttlMs)) };
    }
    const codes = asked.map((one) => (one.status === "rejected" ? codeOf(one.reason) : "ENODATA"));
    if (codes.some((code) => awayCodes.has(code))) return { ok: false, reason: listOf(codes) };
    return askSystem(name, wanted, codes);
  };
}

async function ask(resolver: Resolver, name: string, family: Family): Promise<Found> {
  const records = await (family === 4
    ? resolver.resolve4(name, { ttl: true })
    : resolver.resolve6(name, { ttl: true }));
  return {
    ips: records.map(({ address }) => address),
    ttlMs: Math.min(...records.map(({ ttl }) => ttl * 1_000)),
  };
}

async function askSystem(
  name: string,
  families: readonly number[],
  codes: readonly string[],
): Promise<NameAnswer> {
  try {
    const all = await lookup(name, { all: true });
    const ips = all.filter(({ family }) => families.includes(family)).map(({ address }) => address);
    return ips.length > 0
      ? { ok: true, ips: ips.slice(0, maxAddresses), ttlMs: 0 }
      : { ok: false, reason: "it has no address of a family that this machine speaks" };
  } catch (error) {
    return { ok: false, reason: listOf([...codes, codeOf(error)]) };
  }
}

function listOf(codes: readonly string[]): string {
  return [...new Set(codes)].join(", ");
}

/** Asking for addresses that cannot be reached would only make tries fail (`AI_ADDRCONFIG` of RFC 3493 §6.1). */
function familiesHere(): readonly Family[] {
  const outside = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ internal, address }) => !internal && !address.startsWith("fe80:"));
  const families = ([4, 6] as const).filter((family) =>
    outside.some((one) => one.family === `IPv${family}`),
  );
  return families.length > 0 ? families : [4, 6];
}

function codeOf(error: unknown): string {
  const code: unknown = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "unknown";
}
