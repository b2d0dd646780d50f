import { type Cidr, cidrContains, formatCidr, parseCidr } from "../std/ip.ts";
import type { Fault, Result } from "../std/result.ts";
import { FaultList, Field, quote } from "./field.ts";
import { type ObjectMeta, readMeta } from "./object-meta.ts";

/** Clients by source address. Any network admits. */
export type NetworkAuthentication = {
  readonly kind: "NetworkAuthentication";
  readonly group: "policy.linkerd.io";
  readonly meta: ObjectMeta;
  readonly networks: readonly NetworkExcept[];
};

export type NetworkExcept = { readonly cidr: Cidr; readonly except: readonly Cidr[] };

export function parseNetworkAuthentication(
  json: unknown,
  known: readonly Fault[] = [],
): Result<NetworkAuthentication> {
  const list = new FaultList(known);
  const root = new Field(json, list);
  const networks = root.at("spec").required().at("networks").required();
  const items = networks.items();
  if (networks.isPresent && items.length === 0) networks.fault("must have at least one entry");
  return list.settle({
    kind: "NetworkAuthentication",
    group: "policy.linkerd.io",
    meta: readMeta(root.at("metadata"), "dns-name"),
    networks: items.map(readNetwork),
  });
}

/** Stands for a network that could not be read; never leaves this file, because the fault beside it does. */
const nowhere: Cidr = { ip: { family: 4, bits: 0 }, prefix: 32 };

export function readNetwork(field: Field): NetworkExcept {
  const cidr = readCidr(field.at("cidr"));
  const except = field
    .at("except")
    .items()
    .map((item) => {
      const inner = readCidr(item);
      if (cidr !== undefined && inner !== undefined) checkExcept(item, cidr, inner);
      return inner ?? nowhere;
    });
  return { cidr: cidr ?? nowhere, except };
}

/** An exception that takes everything, or nothing, is a mistake: the writer meant something else. */
function checkExcept(field: Field, cidr: Cidr, inner: Cidr): void {
  const isInside = cidrContains(cidr, inner.ip) && inner.prefix > cidr.prefix;
  if (!isInside) {
    field.fault(
      `must be a smaller network inside ${quote(formatCidr(cidr))}, is ${quote(field.json)}`,
    );
  }
}

function readCidr(field: Field): Cidr | undefined {
  const text = field.text();
  if (!field.isPresent) return undefined;
  const cidr = parseCidr(text);
  if (cidr === undefined) {
    field.fault(`must be a network like "10.0.0.0/8" or an IP address, is ${quote(field.json)}`);
  }
  return cidr;
}
