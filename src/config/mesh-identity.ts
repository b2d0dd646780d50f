/** How a process finds the identity service, and whom it believes. */
import { X509Certificate } from "node:crypto";
import { cidrContains, parseCidr, parseIp } from "../core/std/ip.ts";
import type { Address, EnvReader } from "./env.ts";

export type TrustAnchors = {
  /** PEM bundle. */
  readonly trustAnchors: string;
  /** Where the bundle is from, and is read again; undefined: from the environment, for good. */
  readonly trustAnchorsFile: string | undefined;
};

const loopback = [parseCidr("127.0.0.0/8"), parseCidr("::1/128")];

/** A service without a name cannot prove who it is, so its address must be one that needs no proof. */
export function controlAddress(env: EnvReader, name: string): Address {
  const nameVariable = name.replace(/_ADDR$/, "_NAME");
  if (env.optional(nameVariable) !== undefined) return env.authority(name);
  const address = env.address(name);
  const ip = parseIp(address.host);
  if (ip === undefined) return address;
  if (!loopback.some((net) => net !== undefined && cidrContains(net, ip))) {
    env.refuse(
      name,
      `set ${nameVariable} to the identity of the service at "${address.host}", or set a loopback address: clear text must not leave this host`,
    );
  }
  if (address.port === 0) env.refuse(name, "set a port from 1 to 65535 instead of 0");
  return address;
}

export function serviceName(env: EnvReader, name: string): string | undefined {
  return env.optional(name) === undefined ? undefined : env.dnsName(name);
}

export function readTrustAnchors(env: EnvReader): TrustAnchors {
  return {
    trustAnchors: trustAnchorsOf(env),
    trustAnchorsFile: env.optional("WEFT_IDENTITY_TRUST_ANCHORS_FILE"),
  };
}

/** In the variable itself, as Linkerd's injector writes it, or in a file, as people keep it. */
function trustAnchorsOf(env: EnvReader): string {
  const inline = env.optional("WEFT_IDENTITY_TRUST_ANCHORS");
  const isFile = env.optional("WEFT_IDENTITY_TRUST_ANCHORS_FILE") !== undefined;
  if (inline !== undefined && isFile) {
    env.refuse(
      "WEFT_IDENTITY_TRUST_ANCHORS",
      "unset it or WEFT_IDENTITY_TRUST_ANCHORS_FILE: both are set",
    );
    return "";
  }
  const name = isFile ? "WEFT_IDENTITY_TRUST_ANCHORS_FILE" : "WEFT_IDENTITY_TRUST_ANCHORS";
  const text = isFile ? env.file(name) : env.required(name);
  if (text !== "" && !isCertificate(text)) env.refuse(name, "set PEM certificates");
  return text;
}

/** The bundle is read in full where it is used; here an obvious mistake is told together with the others. */
function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false;
  }
}
