import test from "ava";
import {
  admitConnection,
  admitRequest,
  explainDenial,
  findObstacle,
  maxDenialText,
  notAdmitted,
  type Obstacle,
  type Peer,
} from "../../../src/core/decide/admit.ts";
import type {
  Authentication,
  Authorization,
  Network,
} from "../../../src/core/model/authorization.ts";
import type { InboundPolicy, ServerLabels } from "../../../src/core/model/inbound-policy.ts";
import { everyRequest } from "../../../src/core/model/match.ts";
import { resourceMeta } from "../../../src/core/model/meta.ts";
import { type Ip, parseCidr, parseIp } from "../../../src/core/std/ip.ts";
import { type InboundTable, inboundTable } from "../../../src/core/table/inbound.ts";

function network(net: string, ...except: readonly string[]): Network {
  const cidr = (text: string): Network["net"] => {
    const parsed = parseCidr(text);
    if (parsed === undefined) throw new Error(`"${text}" is not a network`);
    return parsed;
  };
  return { net: cidr(net), except: except.map(cidr) };
}

const everywhere = [network("0.0.0.0/0"), network("::/0")];

function authorization(
  name: string,
  authentication: Authentication,
  networks: readonly Network[] = everywhere,
): Authorization {
  const meta = resourceMeta({
    group: "policy.linkerd.io",
    kind: "AuthorizationPolicy",
    namespace: "demo",
    name,
  });
  return { meta, networks, authentication };
}

const frontend = "frontend.demo.serviceaccount.identity.weft.mesh.local";
const anyone: Authentication = { kind: "unauthenticated" };
const meshed: Authentication = { kind: "tls" };

function named(...identities: readonly string[]): Authentication {
  return { kind: "identities", identities, suffixes: [] };
}

function ending(...suffixes: readonly string[]): Authentication {
  return { kind: "identities", identities: [], suffixes };
}

function peer(ip: string, identity?: string): Peer {
  return { ip: parseIp(ip) as Ip, tls: identity !== undefined, identity };
}

const plain = peer("10.0.0.1");
const anonymous: Peer = { ...plain, tls: true };
const known = peer("10.0.0.1", frontend);

const meets = test.macro({
  exec: (t, authentication: Authentication, client: Peer, obstacle: Obstacle | undefined) => {
    t.is(findObstacle(authorization("a", authentication), client), obstacle);
  },
  title: (given) => `findObstacle() ${given}`,
});

test("lets a client without TLS pass where nothing is asked", meets, anyone, plain, undefined);
test("lets a client with an identity pass where nothing is asked", meets, anyone, known, undefined);
test("asks for TLS", meets, meshed, plain, "tls");
test("takes TLS without a certificate for TLS", meets, meshed, anonymous, undefined);
test("asks for TLS where identities are named", meets, named(frontend), plain, "tls");
test(
  "takes no identity that did not come by TLS",
  meets,
  named(frontend),
  { ...known, tls: false },
  "tls",
);
test("asks for a certificate where identities are named", meets, named(frontend), anonymous, "tls");
test("takes the identity that is named", meets, named("other", frontend), known, undefined);
test(
  "compares identities whole",
  meets,
  named(frontend.slice(1), `${frontend}.x`),
  known,
  "identity",
);
test(
  "compares identities with their case",
  meets,
  named(frontend.toUpperCase()),
  known,
  "identity",
);
test("admits nobody by an empty list", meets, named(), known, "identity");
test("takes the ending of an identity", meets, ending(".weft.mesh.local"), known, undefined);
test("takes whole labels at the end only", meets, ending("mesh.local"), known, "identity");
test("takes no ending that the identity lacks", meets, ending(".other.local"), known, "identity");
test("takes every identity by the empty ending", meets, ending(""), known, undefined);
test("takes no client without identity by the empty ending", meets, ending(""), anonymous, "tls");
test(
  "takes no URI by the ending of a DNS name",
  meets,
  ending(".weft.mesh.local"),
  peer("10.0.0.1", `spiffe://x/${frontend}`),
  "identity",
);
test(
  "takes a URI that is named",
  meets,
  named("spiffe://x/y"),
  peer("10.0.0.1", "spiffe://x/y"),
  undefined,
);

const inside = test.macro({
  exec: (t, networks: readonly Network[], ip: string, answer: boolean) => {
    const obstacle = findObstacle(authorization("a", anyone, networks), peer(ip));
    t.is(obstacle, answer ? undefined : "network");
  },
  title: (_given, networks: readonly Network[], ip: string, answer: boolean) =>
    `findObstacle() ${ip} is ${answer ? "in" : "not in"} ${JSON.stringify(networks)}`,
});

test(inside, [network("10.0.0.0/8")], "10.255.0.1", true);
test(inside, [network("10.0.0.0/8")], "11.0.0.1", false);
test(inside, [network("10.0.0.0/8", "10.0.0.1")], "10.0.0.1", false);
test(inside, [network("10.0.0.0/8", "10.0.0.1")], "10.0.0.2", true);
test(inside, [network("10.0.0.0/8", "10.0.0.1"), network("10.0.0.1/32")], "10.0.0.1", true);
test(inside, [network("0.0.0.0/0")], "::1", false);
test(inside, [network("::/0")], "10.0.0.1", false);
test(inside, [network("10.0.0.0/8")], "::ffff:10.0.0.1", true);
test(inside, [network("2001:db8::/32")], "2001:db8:ffff::1", true);
test(inside, [network("127.0.0.0/8", "127.0.0.1")], "127.0.0.1", false);
test(inside, [], "127.0.0.1", false);

function table(policy: Partial<InboundPolicy>, server?: ServerLabels): InboundTable {
  return inboundTable({
    protocol: "http1",
    detectTimeoutMs: 10_000,
    server: server ?? { group: "policy.linkerd.io", kind: "server", name: "backend-a" },
    authorizations: [],
    routes: [],
    ...policy,
  });
}

function routeWith(...authorizations: readonly Authorization[]): InboundPolicy["routes"][number] {
  return {
    meta: resourceMeta({ group: "g", kind: "HTTPRoute", namespace: "demo", name: "r" }),
    hosts: [],
    authorizations,
    rules: [{ matches: [everyRequest], filters: [] }],
  };
}

test("admitRequest() tries the route's own authorizations before those of the server", (t) => {
  const own = authorization("own", named(frontend));
  const servers = authorization("server", anyone);
  const both = table({ authorizations: [servers], routes: [routeWith(), routeWith(own)] });
  const nameOf = (route: number, client: Peer): unknown =>
    both.authorizations[admitRequest(both, route, client)]?.meta;
  t.is(nameOf(0, known), servers.meta);
  t.is(nameOf(1, known), own.meta);
  t.is(nameOf(1, plain), servers.meta);
});

test("admitRequest() does not admit by the authorization of another route", (t) => {
  const routes = [routeWith(authorization("own", anyone)), routeWith()];
  t.is(admitRequest(table({ routes }), 1, known), notAdmitted);
});

test("admitRequest() admits nobody without authorizations, and nobody on a route that is not there", (t) => {
  t.is(admitRequest(table({}), 0, peer("127.0.0.1", frontend)), notAdmitted);
  t.is(
    admitRequest(table({ authorizations: [authorization("a", anyone)] }), 7, known),
    notAdmitted,
  );
});

test("admitConnection() goes by the authorizations of the server alone", (t) => {
  const routes = [routeWith(authorization("own", anyone))];
  t.is(admitConnection(table({ routes }), known), notAdmitted);
  t.is(admitConnection(table({ routes, authorizations: [authorization("a", meshed)] }), known), 0);
  t.is(
    admitConnection(table({ routes, authorizations: [authorization("a", meshed)] }), plain),
    notAdmitted,
  );
});

test("explainDenial() names the client and what each authorization asks for", (t) => {
  const denied = table({
    authorizations: [
      authorization("admin", named("admin.demo")),
      authorization("office", anyone, [network("192.168.0.0/16")]),
      authorization("mesh", meshed),
    ],
  });
  t.is(
    explainDenial(denied, [0, 1], known),
    `client ${frontend} (10.0.0.1) is not among the identities of AuthorizationPolicy demo/admin; ` +
      "is not in the networks of AuthorizationPolicy demo/office",
  );
  t.is(
    explainDenial(denied, [0, 2], plain),
    "client 10.0.0.1 without mutual TLS does not meet AuthorizationPolicy demo/admin, which requires mutual TLS; " +
      "does not meet AuthorizationPolicy demo/mesh, which requires mutual TLS",
  );
  t.regex(explainDenial(denied, [0], anonymous), /^client 10.0.0.1 without a client certificate /);
});

test("explainDenial() says that no authorization applies", (t) => {
  t.is(explainDenial(table({}), [], plain), "no authorization applies to Server backend-a");
  const byDefault = table({}, { group: "", kind: "default", name: "deny" });
  t.is(
    explainDenial(byDefault, [], plain),
    "no authorization applies to this port: its default policy is deny",
  );
});

test("explainDenial() fits into a header, whatever the client calls itself", (t) => {
  const many = Array.from({ length: 100 }, (_, at) => authorization(`a${at}`, named("x")));
  const client = peer("10.0.0.1", "é\r\nset-cookie: a=b");
  const text = explainDenial(table({ authorizations: many }), [...many.keys()], client);
  t.is(text.length, maxDenialText);
  t.regex(text, /^[ -~]*\.\.\.$/);
});
