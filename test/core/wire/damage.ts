/** Takes single things out of a message that its reader cannot do without, as a newer or a broken sender would. */
import { clone, type DescMessage, type MessageShape } from "@bufbuild/protobuf";

type Node = Record<string, unknown>;

export type Site = { readonly name: string; readonly strike: () => void };

/** A copy with the damage number `site` (counted round) done to it; unchanged when there is nothing to damage. */
export function damage<D extends DescMessage>(
  schema: D,
  message: MessageShape<D>,
  site: number,
): MessageShape<D> {
  const copy = clone(schema, message);
  const sites = collect(copy);
  sites[site % Math.max(sites.length, 1)]?.strike();
  return copy;
}

export function sitesOf<D extends DescMessage>(
  schema: D,
  message: MessageShape<D>,
): readonly Site[] {
  return collect(clone(schema, message));
}

function collect(value: unknown, name = ""): readonly Site[] {
  if (Array.isArray(value)) return value.flatMap((each, at) => collect(each, `${name}[${at}]`));
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return [];
  const node = value as Node;
  const below = Object.entries(node).flatMap(([key, each]) => collect(each, `${name}.${key}`));
  return [...oneofSites(node, name), ...requiredSites(node, name), ...below];
}

/** A member that the reader does not know looks like none, and an enum may have any number. */
function oneofSites(node: Node, name: string): readonly Site[] {
  if (typeof node["case"] !== "string") return [];
  const sites: Site[] = [
    {
      name: `${name} has no member`,
      strike: () => {
        node["case"] = undefined;
        node["value"] = undefined;
      },
    },
  ];
  if (node["case"] === "registered") {
    sites.push({ name: `${name} is unknown`, strike: () => Object.assign(node, { value: 99 }) });
  }
  return sites;
}

const required: Readonly<Record<string, readonly (readonly [field: string, value: unknown])[]>> = {
  "io.linkerd.proxy.inbound.Server": [["protocol", undefined]],
  "io.linkerd.proxy.inbound.Authz": [["authentication", undefined]],
  "io.linkerd.proxy.inbound.Network": [["net", undefined]],
  "io.linkerd.proxy.net.IPNetwork": [
    ["ip", undefined],
    ["prefixLen", 200],
  ],
  "io.linkerd.proxy.http_route.HeaderMatch": [["name", ""]],
  "io.linkerd.proxy.http_route.QueryParamMatch": [["name", ""]],
  "io.linkerd.proxy.http_route.HttpFailureInjector": [["status", 99]],
  "io.linkerd.proxy.http_route.Ratio": [["denominator", 0]],
  "io.linkerd.proxy.outbound.OutboundPolicy": [["protocol", undefined]],
  "io.linkerd.proxy.outbound.HttpRoute.Rule": [["backends", undefined]],
  "io.linkerd.proxy.outbound.HttpRoute.RouteBackend": [["backend", undefined]],
  "io.linkerd.proxy.outbound.HttpRoute.Mirror": [
    ["backend", undefined],
    ["denominator", 0],
  ],
  "io.linkerd.proxy.outbound.HttpRoute.ExternalAuth": [
    ["backend", undefined],
    ["pathPrefix", "x y"],
  ],
  "io.linkerd.proxy.outbound.HttpRoute.Retry": [
    ["conditions", undefined],
    ["maxRetries", 70_000],
  ],
  "io.linkerd.proxy.outbound.HttpRoute.Retry.Conditions.StatusRange": [["end", 0]],
  "io.linkerd.proxy.outbound.ExponentialBackoff": [
    ["maxBackoff", undefined],
    ["jitterRatio", Number.NaN],
  ],
  "weft.v1.UrlRewrite": [["host", "a b"]],
  "weft.v1.Cors": [["origins", [""]]],
  "weft.v1.DirectResponse": [["status", 99]],
  "weft.v1.Delay": [
    ["delay", undefined],
    ["denominator", 0],
  ],
  "weft.v1.RetryBudget": [["interval", undefined]],
  "weft.v1.StaticHosts": [["hosts", []]],
  "weft.v1.StaticHosts.Host": [["port", 0]],
  "weft.v1.LambdaFunction": [["accessKey", ""]],
  "weft.v1.TokenRule": [
    ["issuer", ""],
    ["audiences", []],
  ],
  "weft.v1.TokenRule.Claim": [
    ["name", ""],
    ["values", []],
  ],
};

function requiredSites(node: Node, name: string): readonly Site[] {
  const fields = required[String(node["$typeName"])] ?? [];
  return fields.map(([field, value]) => ({
    name: `${name}.${field} is missing or wrong`,
    strike: () => Object.assign(node, { [field]: value }),
  }));
}
