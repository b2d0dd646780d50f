/**
 * Who may do what, once more, from what the documentation of Linkerd's policy resources and of ours says: slow, one sentence after the other, about manifests. Shares
 * nothing with src/.
 */
import { BlockList, isIPv6 } from "node:net";
import {
  type AccountText,
  type InboundRequest,
  identityEnd,
  type NetworkText,
  type PolicyText,
  ports,
  type RefText,
  type RouteText,
  type Selector,
  type ServerAuthorizationText,
  type ServerText,
  type World,
} from "./authorization-world.ts";

/** `audited`: let through, and it would be denied if what is audited were enforced. */
export type Fate = "admitted" | "audited" | "denied" | "no route";

const clusterNetworks: readonly NetworkText[] = [
  { cidr: "10.0.0.0/8", except: [] },
  { cidr: "fd00::/8", except: [] },
];

export function fateOf(world: World, request: InboundRequest, clusterDefault: string): Fate {
  // The kubelet asks in plain text and without an identity, and is always heard.
  if (isProbe(world, request)) return "admitted";
  const server = serverOf(world, request.port);
  if (server === undefined) {
    // The pod's own word counts most, then that of its namespace, then that of the cluster.
    const access = world.podDefault ?? world.namespaceDefault ?? clusterDefault;
    return fateByAccess(access, request);
  }
  const routes = world.routes.filter((route) => route.server === server.name);
  const route = winner(routes.filter((one) => takes(one, request.path)));
  if (routes.length > 0 && route === undefined) return "no route";
  const policies = world.policies.filter(
    ({ target }) =>
      target.kind === "Namespace" ||
      (target.kind === "Server" && target.name === server.name) ||
      (target.kind === "HTTPRoute" && target.name === route?.name),
  );
  return fateByPolicies(world, request, { server, policies });
}

type Rules = { readonly server: ServerText; readonly policies: readonly PolicyText[] };

function fateByPolicies(world: World, request: InboundRequest, { server, policies }: Rules): Fate {
  const old = world.serverAuthorizations.filter((one) => speaksFor(one, server));
  const enforced = policies.filter(({ audit }) => !audit);
  // Any that is enforced may admit.
  if (enforced.some((policy) => holds(world, policy, request))) return "admitted";
  if (old.some((one) => holdsOld(one, request))) return "admitted";
  const access = server.accessPolicy ?? "deny";
  if (access !== "deny" && access !== "audit") return fateByAccess(access, request);
  const audited = policies.filter(({ audit }) => audit);
  // The Server in audit mode, or at the Server's own level nothing enforced beside what is audited.
  const ofRoute = ({ target }: PolicyText): boolean => target.kind === "HTTPRoute";
  const isAuditedServer =
    access === "audit" ||
    (audited.some((policy) => !ofRoute(policy)) &&
      old.length === 0 &&
      enforced.every((policy) => ofRoute(policy)));
  const isAuditedRoute = audited.length > 0 && enforced.length === 0 && old.length === 0;
  if (!isAuditedServer && !isAuditedRoute) return "denied";
  return audited.some((policy) => holds(world, policy, request)) ? "admitted" : "audited";
}

function fateByAccess(access: string, request: InboundRequest): Fate {
  if (access === "audit") return "audited";
  if (access === "deny") return "denied";
  if (access.startsWith("cluster-") && !isInAny(clusterNetworks, request.ip)) return "denied";
  if (access.endsWith("-unauthenticated")) return "admitted";
  return isKnown(request) ? "admitted" : "denied";
}

/** Mutual TLS with a client certificate. */
function isKnown({ identity }: InboundRequest): boolean {
  return identity !== undefined && identity !== "";
}

/** Of the Servers that select the pod and name the port, the oldest speaks, then the first by name. */
function serverOf(world: World, port: number): ServerText | undefined {
  return world.servers
    .filter((server) => selectsLabels(server.selector, world.podLabels))
    .filter((server) => portNumber(server.port) === port)
    .toSorted((left, right) =>
      `${left.createdAt} ${left.name}` < `${right.createdAt} ${right.name}` ? -1 : 1,
    )[0];
}

function portNumber(port: number | string): number | undefined {
  return typeof port === "number" ? port : ports[port];
}

function selectsLabels(
  { matchLabels = {}, matchExpressions = [] }: Selector,
  labels: Readonly<Record<string, string>>,
): boolean {
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = labels[key];
      if (operator === "Exists") return value !== undefined;
      if (operator === "DoesNotExist") return value === undefined;
      if (operator === "In") return value !== undefined && values.includes(value);
      return value === undefined || !values.includes(value);
    })
  );
}

function isProbe({ probe }: World, { port, method, path }: InboundRequest): boolean {
  if (probe === undefined || method !== "GET") return false;
  return portNumber(probe.port) === port && probe.path.split("?")[0] === path;
}

/** A prefix fits whole elements of the path. */
function takes({ type, path }: RouteText, asked: string): boolean {
  if (type === "Exact") return asked === path;
  const prefix = path.replace(/\/$/, "");
  return asked === prefix || asked.startsWith(`${prefix}/`);
}

/** Exact before prefix, the longer before the shorter; of equals the first by name, as all are of one age. */
function winner(routes: readonly RouteText[]): RouteText | undefined {
  return routes.toSorted(
    (left, right) =>
      Number(right.type === "Exact") - Number(left.type === "Exact") ||
      right.path.length - left.path.length ||
      (left.name < right.name ? -1 : 1),
  )[0];
}

/** Everything that is required holds at once; what does not exist holds for nobody. */
function holds(world: World, { refs }: PolicyText, request: InboundRequest): boolean {
  return refs.every((ref) => {
    switch (ref.kind) {
      case "JWTAuthentication":
        return request.tokens.includes(ref.name);
      case "ServiceAccount":
        return request.identity === accountIdentity(ref);
      case "NetworkAuthentication": {
        const list = world.networks[ref.name];
        return list !== undefined && isInAny(list, request.ip);
      }
      default: {
        const names = world.meshes[ref.name];
        const accounts = world.accounts[ref.name];
        if (names !== undefined) return names.some((name) => isNamed(name, request));
        return accounts?.some((one) => isMeant(one, request)) === true;
      }
    }
  });
}

function accountIdentity({ name, namespace }: { name: string; namespace?: string }): string {
  return `${name}.${namespace ?? "demo"}.${identityEnd}`;
}

function isNamed(name: string, request: InboundRequest): boolean {
  const { identity } = request;
  if (!isKnown(request) || identity === undefined) return false;
  if (name === "*") return true;
  if (name.startsWith("*.")) return !identity.includes("://") && identity.endsWith(name.slice(1));
  return identity === name;
}

function isMeant(ref: RefText, { identity }: InboundRequest): boolean {
  if (identity === undefined) return false;
  return ref.kind === "Namespace"
    ? identity.endsWith(`.${ref.name}.${identityEnd}`)
    : identity === accountIdentity(ref);
}

function speaksFor({ server: which }: ServerAuthorizationText, server: ServerText): boolean {
  return "name" in which
    ? which.name === server.name
    : selectsLabels(which.selector, server.labels);
}

function holdsOld(
  { networks, clients }: ServerAuthorizationText,
  request: InboundRequest,
): boolean {
  if (!isInAny(networks.length === 0 ? clusterNetworks : networks, request.ip)) return false;
  if ("unauthenticated" in clients) return true;
  if ("unauthenticatedTLS" in clients) return request.identity !== undefined;
  return (
    clients.identities.some((name) => isNamed(name, request)) ||
    clients.serviceAccounts.some((one: AccountText) => request.identity === accountIdentity(one))
  );
}

function isInAny(networks: readonly NetworkText[], ip: string): boolean {
  return networks.some(
    ({ cidr, except }) => isIn(cidr, ip) && !except.some((hole) => isIn(hole, ip)),
  );
}

function isIn(cidr: string, ip: string): boolean {
  const [net = "", prefix] = cidr.split("/");
  const family = isIPv6(net) ? "ipv6" : "ipv4";
  if ((family === "ipv6") !== isIPv6(ip)) return false;
  const list = new BlockList();
  list.addSubnet(net, Number(prefix ?? (family === "ipv6" ? 128 : 32)), family);
  return list.check(ip, family);
}
