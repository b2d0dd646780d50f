/** The authorization of Linkerd's first policy API. It names its Servers itself and says in one object who the clients are. */
import type { Fault, Result } from "../std/result.ts";
import { FaultList, Field, quote } from "./field.ts";
import { type LabelSelector, readLabelSelector } from "./label-selector.ts";
import { type IdentityPattern, readIdentityPattern } from "./mesh-tls-authentication.ts";
import { type NetworkExcept, readNetwork } from "./network-authentication.ts";
import { type ObjectMeta, readMeta } from "./object-meta.ts";
import { type ObjectRef, readNamespace } from "./reference.ts";

export type ServerAuthorization = {
  readonly kind: "ServerAuthorization";
  readonly group: "policy.linkerd.io";
  readonly meta: ObjectMeta;
  /** Servers of its namespace: one by its name, or those with these labels. */
  readonly server:
    | { readonly by: "name"; readonly name: string }
    | { readonly by: "labels"; readonly labels: LabelSelector };
  /** Empty: the networks of the cluster. */
  readonly networks: readonly NetworkExcept[];
  readonly clients: ServerClients;
};

export type ServerClients =
  | { readonly kind: "unauthenticated" }
  /** Mutual TLS, whoever the client is. */
  | { readonly kind: "tls" }
  | {
      readonly kind: "identities";
      readonly identities: readonly IdentityPattern[];
      readonly serviceAccounts: readonly ObjectRef[];
    };

export function parseServerAuthorization(
  json: unknown,
  known: readonly Fault[] = [],
): Result<ServerAuthorization> {
  const list = new FaultList(known);
  const root = new Field(json, list);
  const meta = readMeta(root.at("metadata"), "dns-name");
  const spec = root.at("spec").required();
  const client = spec.at("client").required();
  return list.settle({
    kind: "ServerAuthorization",
    group: "policy.linkerd.io",
    meta,
    server: readServer(spec.at("server").required()),
    networks: client.at("networks").items().map(readNetwork),
    clients: readClients(client, meta.namespace),
  });
}

function readServer(field: Field): ServerAuthorization["server"] {
  const name = field.at("name");
  const selector = field.at("selector");
  if (field.isPresent && name.isPresent === selector.isPresent) {
    field.fault("must have exactly one of name and selector");
  }
  return selector.isPresent
    ? { by: "labels", labels: readLabelSelector(selector) }
    : { by: "name", name: name.optionalText() ?? "" };
}

/** What contradicts itself admits nobody: the more open reading may be the one that was not meant. */
function readClients(client: Field, namespace: string): ServerClients {
  const isOpen = client.at("unauthenticated").flag(false);
  const meshTls = client.at("meshTLS");
  if (client.isPresent && isOpen === meshTls.isPresent) {
    client.fault("must have exactly one of unauthenticated: true and meshTLS");
  }
  if (!meshTls.isPresent) return { kind: "unauthenticated" };
  const identities = meshTls.at("identities").items().map(readIdentityPattern);
  const serviceAccounts = meshTls
    .at("serviceAccounts")
    .items()
    .map((item) => readServiceAccount(item, namespace));
  const isAnybody = meshTls.at("unauthenticatedTLS").flag(false);
  const isNamed = identities.length + serviceAccounts.length > 0;
  if (isAnybody && isNamed) {
    meshTls.fault("must have no identities and no serviceAccounts beside unauthenticatedTLS: true");
  }
  if (!isAnybody && !isNamed) {
    meshTls.fault("must name clients by identities, serviceAccounts or unauthenticatedTLS: true");
  }
  return isAnybody ? { kind: "tls" } : { kind: "identities", identities, serviceAccounts };
}

function readServiceAccount(field: Field, namespace: string): ObjectRef {
  const name = field.at("name").text();
  if (field.at("name").isPresent && name === "") {
    field.at("name").fault(`must not be empty, is ${quote(name)}`);
  }
  return {
    group: "",
    kind: "ServiceAccount",
    namespace: readNamespace(field.at("namespace")) ?? namespace,
    name,
  };
}
