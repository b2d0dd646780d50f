/**
 * Reads a process's settings from its environment. Every process of the mesh names its variables and defaults in a file
 * beside this one, asks this reader for each, and calls `finish` once: a start that fails names every bad variable, so
 * that an operator repairs a manifest once instead of once per mistake.
 *
 * A read that fails notes the fault and returns a stand-in of the right type. Stand-ins never leave: `finish` drops the
 * whole object when there is a fault.
 *
 * An empty value counts as unset, because templates write `value: ""` for what a user left out. No variable may be named
 * `WEFT_<service>_PORT` or `WEFT_<service>_SERVICE_HOST`: Kubernetes sets those itself for a Service named `weft-<service>`.
 */
import { readFileSync, statSync } from "node:fs";
import { isDnsLabel, isDnsName } from "../core/std/dns-name.ts";
import { parseDurationMs } from "../core/std/duration.ts";
import { type Cidr, formatIp, parseCidr, parseIp } from "../core/std/ip.ts";
import { type Fault, fail, fault, ok, type Result } from "../core/std/result.ts";
import { Secret } from "../core/std/secret.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** Where a listener binds or a client dials. `host` is an IP address in canonical text, without brackets. */
export type Address = { readonly host: string; readonly port: number };

const logLevels = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof logLevels)[number];

/** A file named by a variable is read whole. Certificates and key sets are a few KiB; 1 MiB is a mistake in the path. */
export const maxFileBytes = 1_048_576;
/** A list is split in memory; more entries than this is a generated mistake. */
export const maxListEntries = 1_000;

const dayMs = 86_400_000;
/** Longer values are cut in messages, which end up in one log line. */
const maxQuotedLength = 80;
const unset: Address = { host: "", port: 0 };

export class EnvReader {
  readonly #environment: Environment;
  readonly #faults: Fault[] = [];

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  required(name: string): string {
    return this.optional(name) ?? this.#missing(name, "");
  }

  optional(name: string): string | undefined {
    const text = Object.hasOwn(this.#environment, name) ? this.#environment[name] : undefined;
    return text === "" ? undefined : text;
  }

  /** Never quoted in a fault, and printed as `[redacted]` wherever it goes. */
  secret(name: string): Secret {
    return new Secret(this.required(name));
  }

  /** Digits only: `1e3`, `0x10`, ` 5` and `+5` are refused, because other tools read them differently. */
  integer(name: string, limits: Limits): number {
    const text = this.optional(name);
    if (text === undefined) return limits.fallback ?? this.#missing(name, 0);
    const value = /^-?[0-9]{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= limits.min && value <= limits.max) return value;
    return this.#bad(name, text, `a whole number from ${limits.min} to ${limits.max}`, 0);
  }

  /** A part of a whole, from 0 to 1, as a plain decimal. */
  ratio(name: string, fallback: number): number {
    const text = this.optional(name);
    if (text === undefined) return fallback;
    const value = /^[01](\.[0-9]{1,15})?$/.test(text) ? Number(text) : Number.NaN;
    if (value <= 1) return value;
    return this.#bad(name, text, 'a number from 0 to 1 such as "0.01"', 0);
  }

  /** GEP-2257 (`1h30m`, `250ms`), and two forms of Linkerd's environment: whole days (`1d`) and a bare `0`. */
  durationMs(name: string, limits: Limits): number {
    const text = this.optional(name);
    if (text === undefined) return limits.fallback ?? this.#missing(name, 0);
    const value = durationOf(text) ?? Number.NaN;
    if (value >= limits.min && value <= limits.max) return value;
    const wanted = `a duration such as "10s" or "1h30m", ${limits.min} ms to ${limits.max} ms long`;
    return this.#bad(name, text, wanted, 0);
  }

  /** An IP address and a port, where a process binds: `127.0.0.1:8080`, `[::]:8080`. A name would need a resolver. */
  address(name: string, fallback?: string): Address {
    const text = this.optional(name) ?? fallback;
    if (text === undefined) return this.#missing(name, unset);
    const parts = hostAndPort(text);
    const ip = parts === undefined ? undefined : parseIp(parts.host);
    if (parts !== undefined && ip !== undefined && parts.bracketed === parts.host.includes(":")) {
      return { host: formatIp(ip), port: parts.port };
    }
    return this.#bad(name, text, 'an address such as "127.0.0.1:8080" or "[::1]:8080"', unset);
  }

  /** Like `address`, or a DNS name and a port, where a client dials: `weft-policy.weft.svc.cluster.local:8090`. */
  authority(name: string, fallback?: string): Address {
    const text = this.optional(name) ?? fallback;
    if (text === undefined) return this.#missing(name, unset);
    const parts = hostAndPort(text);
    if (parts !== undefined && parts.port > 0) {
      const ip = parseIp(parts.host);
      if (ip !== undefined && parts.bracketed === parts.host.includes(":")) {
        return { host: formatIp(ip), port: parts.port };
      }
      if (ip === undefined && !parts.bracketed && isHostName(parts.host)) {
        return { host: parts.host, port: parts.port };
      }
    }
    return this.#bad(name, text, 'a host and port such as "weft-policy.weft.svc:8090"', unset);
  }

  dnsName(name: string, fallback?: string): string {
    const text = this.optional(name) ?? fallback;
    if (text === undefined) return this.#missing(name, "");
    return isDnsName(text) ? text : this.#bad(name, text, "a DNS name in lower case", "");
  }

  /** A name of Kubernetes that is one DNS label, such as that of a namespace. */
  dnsLabel(name: string, fallback?: string): string {
    const text = this.optional(name) ?? fallback;
    if (text === undefined) return this.#missing(name, "");
    return isDnsLabel(text) ? text : this.#bad(name, text, "one DNS label in lower case", "");
  }

  /** Comma-separated; spaces around an entry are dropped, an empty entry is a fault. */
  list(name: string, fallback?: readonly string[]): readonly string[] {
    const text = this.optional(name);
    if (text === undefined) return fallback ?? this.#missing(name, []);
    const entries = text.split(",").map((entry) => entry.trim());
    if (entries.length <= maxListEntries && !entries.includes("")) return entries;
    const wanted = `a comma-separated list of at most ${maxListEntries} entries, none of them empty`;
    return this.#bad(name, text, wanted, []);
  }

  cidrList(name: string, fallback?: readonly string[]): readonly Cidr[] {
    const networks: Cidr[] = [];
    for (const entry of this.list(name, fallback)) {
      const cidr = parseCidr(entry);
      if (cidr !== undefined) networks.push(cidr);
      else this.#bad(name, entry, 'networks such as "10.0.0.0/8" or "fd00::/8"', undefined);
    }
    return networks;
  }

  boolean(name: string, fallback?: boolean): boolean {
    const text = this.optional(name);
    if (text === undefined) return fallback ?? this.#missing(name, false);
    if (text === "true" || text === "false") return text === "true";
    return this.#bad(name, text, '"true" or "false"', false);
  }

  /** One of a few words. */
  choice<T extends string>(name: string, choices: readonly T[], fallback: T): T {
    const text = this.optional(name);
    if (text === undefined) return fallback;
    const chosen = choices.find((choice) => choice === text);
    if (chosen !== undefined) return chosen;
    return this.#bad(
      name,
      text,
      `one of ${choices.map((choice) => `"${choice}"`).join(", ")}`,
      fallback,
    );
  }

  logLevel(name: string, fallback: LogLevel = "info"): LogLevel {
    return this.choice(name, logLevels, fallback);
  }

  /** The path as it is; whether something is there is known when the process uses it. */
  path(name: string, fallback?: string): string {
    const text = this.optional(name) ?? fallback;
    if (text === undefined) return this.#missing(name, "");
    return text.includes("\0") ? this.#bad(name, text, "a path without NUL", "") : text;
  }

  /** The text of the file that the variable names, at most `maxFileBytes`. The text is never quoted in a fault. */
  file(name: string): string {
    const path = this.path(name);
    if (path === "") return "";
    try {
      const found = statSync(path);
      // A pipe or a device has no size to check before it is read.
      if (!found.isFile()) return this.#bad(name, path, "the path of a regular file", "");
      if (found.size <= maxFileBytes) return readFileSync(path, "utf8");
      const wanted = `a file of at most ${maxFileBytes} bytes (this one has ${found.size})`;
      return this.#bad(name, path, wanted, "");
    } catch (error) {
      return this.#bad(name, path, `a file that can be read (${errorCode(error)})`, "");
    }
  }

  /** Notes a fault that only the caller can see, such as two variables that contradict each other. */
  refuse(name: string, reason: string): void {
    this.#faults.push(fault(name, reason));
  }

  /** The frozen settings, or every fault of every read since the reader was made. */
  finish<T extends object>(settings: T): Result<Readonly<T>> {
    return this.#faults.length === 0 ? ok(Object.freeze(settings)) : fail(...this.#faults);
  }

  #missing<T>(name: string, standIn: T): T {
    this.refuse(name, "is required: set it");
    return standIn;
  }

  #bad<T>(name: string, text: string, wanted: string, standIn: T): T {
    this.refuse(name, `set ${wanted} instead of ${quote(text)}`);
    return standIn;
  }
}

/** Bounds are inclusive. Without `fallback` the variable is required. */
export type Limits = { readonly fallback?: number; readonly min: number; readonly max: number };

/** `127.0.0.1:8080`, `[::1]:8080`: as people write it and libraries take it. */
export function formatAddress({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function quote(text: string): string {
  const short = text.length > maxQuotedLength ? `${text.slice(0, maxQuotedLength)}…` : text;
  return JSON.stringify(short);
}

function durationOf(text: string): number | undefined {
  if (text === "0") return 0;
  if (/^[0-9]{1,5}d$/.test(text)) return Number(text.slice(0, -1)) * dayMs;
  return parseDurationMs(text);
}

type HostAndPort = { readonly host: string; readonly port: number; readonly bracketed: boolean };

/** Splits at the last colon. RFC 3986 §3.2.2: an IPv6 address beside a port stands in brackets. */
function hostAndPort(text: string): HostAndPort | undefined {
  const at = text.lastIndexOf(":");
  const digits = text.slice(at + 1);
  if (at < 0 || !/^(0|[1-9][0-9]{0,4})$/.test(digits) || Number(digits) > 65_535) return undefined;
  const host = text.slice(0, at);
  const bracketed = host.startsWith("[") && host.endsWith("]");
  return { host: bracketed ? host.slice(1, -1) : host, port: Number(digits), bracketed };
}

/** A DNS name that cannot be taken for an IPv4 address with a part too many or out of range. */
function isHostName(host: string): boolean {
  return isDnsName(host) && !/^[0-9.]+$/.test(host);
}

function errorCode(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}
