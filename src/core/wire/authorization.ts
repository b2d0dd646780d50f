import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Authentication, Authorization, Network } from "../model/authorization.ts";
import { defaultMeta, type Meta, resourceMeta } from "../model/meta.ts";
import type { Cidr } from "../std/ip.ts";
import { unreachable } from "../std/unreachable.ts";
import { report, type Trace, under } from "./decode.ts";
import type {
  Authn,
  Authn_PermitMeshTLS_PermitClientIdentities,
  AuthnSchema,
  Authz,
  AuthzSchema,
  Network as WireNetwork,
} from "./gen/linkerd/inbound_pb.ts";
import { fromWireMeta, toWireMeta } from "./meta.ts";
import { fromWireNetwork, toWireNetwork } from "./net.ts";
import { fromWireToken, toWireToken } from "./token.ts";

/** Linkerd's proxy refuses one without networks, and the whole policy with it. As it admits nobody, it can be left out. */
export function toWireAuthorizations(
  authorizations: readonly Authorization[],
): MessageInitShape<typeof AuthzSchema>[] {
  return authorizations.filter(({ networks }) => networks.length > 0).map(toWireAuthorization);
}

/** One that cannot be read admits nobody, which is to leave it out. */
export function fromWireAuthorizations(
  messages: readonly Authz[],
  trace: Trace,
): readonly Authorization[] {
  return messages.flatMap((message, at) => {
    const authorization = fromWireAuthorization(message, under(trace, "authorizations", at));
    return authorization === undefined ? [] : [authorization];
  });
}

function toWireAuthorization({
  meta,
  networks,
  authentication,
  tokens = [],
}: Authorization): MessageInitShape<typeof AuthzSchema> {
  return {
    metadata: toWireMeta(meta),
    labels: toLabels(meta),
    networks: networks.map(({ net, except }) => ({
      net: toWireNetwork(net),
      except: except.map(toWireNetwork),
    })),
    authentication: toWireAuthentication(authentication),
    tokens: tokens.map(toWireToken),
  };
}

function fromWireAuthorization(message: Authz, trace: Trace): Authorization | undefined {
  const networks = message.networks.flatMap((network, at) =>
    fromWireNetworks(network, under(trace, "networks", at)),
  );
  if (networks.length === 0) report(trace, "is dropped: it names no usable network");
  const authentication = fromWireAuthentication(message.authentication, trace);
  if (networks.length === 0 || authentication === undefined) return undefined;
  const read = message.tokens.map((token, at) => fromWireToken(token, under(trace, "tokens", at)));
  const tokens = read.filter((token) => token !== undefined);
  if (tokens.length < read.length) return undefined;
  const meta = readMeta(message, under(trace, "metadata"));
  return { meta, networks, authentication, ...(tokens.length === 0 ? {} : { tokens }) };
}

/** Without one of its exceptions a network would admit more than was meant. */
function fromWireNetworks({ net, except }: WireNetwork, trace: Trace): readonly Network[] {
  const read = fromWireNetwork(net);
  const exceptions: readonly (Cidr | undefined)[] = except.map((each) => fromWireNetwork(each));
  const usable = exceptions.filter((each) => each !== undefined);
  if (read === undefined || usable.length < exceptions.length) {
    report(trace, "is dropped: it is not a network, or one of its exceptions is none");
    return [];
  }
  return [{ net: read, except: usable }];
}

function toWireAuthentication(
  authentication: Authentication,
): MessageInitShape<typeof AuthnSchema> {
  switch (authentication.kind) {
    case "unauthenticated":
      return { permit: { case: "unauthenticated", value: {} } };
    case "tls":
      return {
        permit: { case: "meshTLS", value: { clients: { case: "unauthenticated", value: {} } } },
      };
    case "identities": {
      const value = {
        identities: authentication.identities.map((name) => ({ name })),
        suffixes: authentication.suffixes.map((suffix) => ({ parts: toParts(suffix) })),
      };
      return { permit: { case: "meshTLS", value: { clients: { case: "identities", value } } } };
    }
    default:
      return unreachable(authentication);
  }
}

function fromWireAuthentication(
  message: Authn | undefined,
  trace: Trace,
): Authentication | undefined {
  const permit = message?.permit;
  if (permit?.case === "unauthenticated") return { kind: "unauthenticated" };
  const clients = permit?.value?.clients;
  switch (clients?.case) {
    case "unauthenticated":
      return { kind: "tls" };
    case "identities":
      return fromWireIdentities(clients.value, under(trace, "authentication"));
    case undefined:
      report(under(trace, "authentication"), "is of no known kind; the authorization is dropped");
      return undefined;
  }
}

function fromWireIdentities(
  { identities, suffixes }: Authn_PermitMeshTLS_PermitClientIdentities,
  trace: Trace,
): Authentication {
  const names = identities.map(({ name }) => name).filter((name) => name !== "");
  const endings = suffixes
    .map(({ parts }) => parts)
    .filter((parts) => parts.every((part) => part !== "" && !part.startsWith(".")));
  if (names.length < identities.length || endings.length < suffixes.length) {
    report(trace, "has empty names, which admit nobody");
  }
  return {
    kind: "identities",
    identities: names,
    suffixes: endings.map((parts) => parts.map((part) => `.${part}`).join("")),
  };
}

/** `.demo.svc` is `["demo", "svc"]`; the empty suffix, which admits every identity, is the empty list. */
function toParts(suffix: string): string[] {
  if (suffix === "") return [];
  return (suffix.startsWith(".") ? suffix.slice(1) : suffix).split(".");
}

/** For readers that are older than the metadata. */
function toLabels(meta: Meta): Record<string, string> {
  return meta.type === "default"
    ? { group: "", kind: "default", name: meta.name }
    : { group: meta.group, kind: meta.kind.toLowerCase(), name: meta.name };
}

function readMeta({ metadata, labels }: Authz, trace: Trace): Meta {
  const { group = "", kind = "", name = "" } = labels;
  if (metadata !== undefined || name === "") return fromWireMeta(metadata, trace);
  return kind === "default"
    ? defaultMeta(name)
    : resourceMeta({ group, kind, namespace: "", name });
}
