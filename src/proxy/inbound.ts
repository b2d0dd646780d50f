/**
 * The way of a request for the application beside us, from top to bottom. Nothing else decides what comes next.
 *
 * Peers come to one of two kinds of ports: the mesh port, where TLS and a transport header say who comes and which port is
 * meant; and, without redirect rules, a port that stands in front of one port of the application, for everybody.
 */
import { sniff } from "../codec/sniff.ts";
import { parseTransportHeader } from "../codec/transport-header.ts";
import { admitRequest, explainDenial, notAdmitted, type Peer } from "../core/decide/admit.ts";
import { findRoute, noRoute } from "../core/decide/find-route.ts";
import { parseIp } from "../core/std/ip.ts";
import type { AcceptedSocket } from "../edge/net/listen.ts";
import type { Wire } from "../edge/net/wire.ts";
import { Downstream } from "./downstream.ts";
import type { Answers, Exchange, ForwardFailure } from "./exchange.ts";
import type { PreparedFilters } from "./filters.ts";
import { FirstBytes, type Look } from "./first-bytes.ts";
import { type Forwarding, forward } from "./forward.ts";
import { entryAt, type LoadedInbound } from "./loaded.ts";
import type { Guest, MeshDoor } from "./mesh-door.ts";
import { passFilters } from "./pass-filters.ts";
import { prepareRequest } from "./request-head.ts";
import { rescue } from "./rescue.ts";
import type { Shard } from "./shard.ts";

const inboundAnswers: Answers = {
  answer: answerInbound,
  resume: resumeInbound,
  failed: failedInbound,
  // No rule of this side has a guard.
  responded: () => true,
};

/** A connection. On the mesh port nothing is said in plain text. */
export function acceptInbound(door: MeshDoor, accepted: AcceptedSocket): void {
  if (door.kind === "inbound-mesh") {
    door.endTls(accepted.toSocket());
    return;
  }
  const { shard } = door;
  const ip = parseIp(accepted.remoteIp);
  // Without an address the client is gone already.
  if (ip === undefined) {
    accepted.destroy();
    return;
  }
  const wire = accepted.toWire(shard.headBuffer, shard.pool);
  const peer: Peer = { ip, tls: false, identity: undefined };
  new FirstBytes(shard, wire, (bytes, start, end) => {
    if (sniff(bytes, start, end) !== "tls") {
      return serveSniffed(shard, { wire, peer, port: door.port }, { bytes, start, end });
    }
    return { kind: "released", to: (unread) => door.endTls(wire.release(unread)) };
  });
}

/** The same connection after its TLS was ended and the peer is known. */
export function greetGuest(door: MeshDoor, { wire, peer, withTransportHeader }: Guest): void {
  const { shard, port } = door;
  const isStranger = peer.identity === undefined || !withTransportHeader;
  if (door.kind === "inbound-mesh" && isStranger) {
    shard.countRefusal("identity required");
    wire.destroy();
    return;
  }
  new FirstBytes(shard, wire, (bytes, start, end) =>
    withTransportHeader
      ? serveNamedPort(shard, { wire, peer }, { bytes, start, end })
      : serveSniffed(shard, { wire, peer, port }, { bytes, start, end }),
  );
}

function answerInbound(exchange: Exchange): void {
  const { shard, origin, head } = exchange;
  if (head.method === "CONNECT") {
    rescue(exchange, "connect-method");
    return;
  }
  const policy = shard.tables.inbound(origin.port);
  if (policy === undefined) {
    awaitPolicy(exchange);
    return;
  }
  const { table, routes } = policy;
  if (!isHttp1(table.protocol)) {
    rescue(exchange, "unsupported-protocol");
    return;
  }
  prepareRequest(exchange);
  const found = findRoute(routes, exchange.view);
  if (found <= noRoute) {
    refuseUnrouted(exchange, policy, found);
    return;
  }
  const entry = entryAt(routes, found);
  const rule = policy.rules[entry.rule];
  if (rule === undefined) {
    rescue(exchange, "bad-route");
    return;
  }
  exchange.route = rule.counts;
  rule.counts.request();
  const admitted = admitRequest(table, rule.route, origin.peer);
  if (admitted === notAdmitted) {
    shard.counts.add(rule.denied);
    const reason = explainDenial(table, table.admits[rule.route] ?? [], origin.peer);
    rescue(exchange, "unauthorized", { reason });
    return;
  }
  shard.counts.add(rule.allowed[admitted] ?? 0);
  exchange.matched = entry;
  exchange.dialedPort = origin.port;
  const { identity } = origin.peer;
  if (identity !== undefined) exchange.requestEdit.set("l5d-client-id", identity);
  passRule(exchange, rule.filters, 0);
}

/** What a filter waited for has come. */
function resumeInbound(exchange: Exchange): void {
  passRule(exchange, exchange.filters, exchange.filterAt);
}

/** The filters of the rule from place `from` on, then the application. */
function passRule(exchange: Exchange, filters: PreparedFilters, from: number): void {
  if (passFilters(exchange, filters, from) !== "passed") return;
  sendToApplication(exchange, "pooled");
}

function sendToApplication(exchange: Exchange, how: Forwarding): void {
  const { shard, origin } = exchange;
  const group = shard.tables.application(origin.port);
  const target = group?.pick(exchange.readyMs, shard.random, exchange.tried);
  if (group === undefined || target === undefined) {
    rescue(exchange, "no-endpoints");
    return;
  }
  forward(exchange, group, target, how);
}

/** There is one application, so there is nobody else to ask; but a connection that it closed while idle is not its answer. */
function failedInbound(exchange: Exchange, failure: ForwardFailure): void {
  const { code, reason, stale } = failure;
  if (!stale || exchange.replayLength === 0 || exchange.resent) {
    rescue(exchange, code, { reason });
    return;
  }
  exchange.resent = true;
  sendToApplication(exchange, "fresh");
}

/** Nothing is admitted before the policy of the port is known. */
function awaitPolicy(exchange: Exchange): void {
  const { tables, limits } = exchange.shard;
  if (tables.parkedCount >= limits.maxWaitingForDiscovery) {
    rescue(exchange, "discovery-overload");
    return;
  }
  tables.parkInbound(exchange, exchange.origin.port);
}

function refuseUnrouted(exchange: Exchange, policy: LoadedInbound, found: number): void {
  if (found < noRoute) {
    rescue(exchange, "bad-route");
    return;
  }
  exchange.shard.counts.add(policy.notFound);
  const { kind, name } = policy.table.server;
  rescue(exchange, "no-route", { reason: `no route of ${kind} ${name} matches this request` });
}

/** `detect` has found out that it is HTTP/1. */
function isHttp1(protocol: string): boolean {
  return protocol === "detect" || protocol === "http1";
}

type Bytes = { readonly bytes: Buffer; readonly start: number; readonly end: number };
type Client = { readonly wire: Wire; readonly peer: Peer };

/** A port whose protocol is told by its bytes. What is no HTTP/1 is refused, never passed on unseen. */
function serveSniffed(shard: Shard, client: Client & { readonly port: number }, at: Bytes): Look {
  const { bytes, start, end } = at;
  const protocol = sniff(bytes, start, end);
  if (protocol === "more") return { kind: "more" };
  if (protocol !== "http1") return { kind: "refused", label: `unsupported protocol ${protocol}` };
  return serve(shard, client, at);
}

/** A transport header names the port. */
function serveNamedPort(shard: Shard, client: Client, { bytes, start, end }: Bytes): Look {
  const header = parseTransportHeader(bytes, start, end);
  if (header.state === "more") return { kind: "more" };
  if (header.state === "invalid") return { kind: "refused", label: "bad transport header" };
  const { port, name, protocol } = header;
  if (name !== "") return { kind: "refused", label: "gateway domain invalid" };
  if (protocol !== "http1") {
    return { kind: "refused", label: `unsupported protocol ${protocol}` };
  }
  if (shard.tables.application(port) === undefined) {
    return { kind: "refused", label: "unknown port" };
  }
  return serve(shard, { ...client, port }, { bytes, start: header.end, end });
}

function serve(shard: Shard, client: Client & { readonly port: number }, at: Bytes): Look {
  const { wire, peer, port } = client;
  const tls = !peer.tls ? "disabled" : peer.identity === undefined ? "no_identity" : "true";
  const downstream = new Downstream({
    shard,
    wire,
    origin: { direction: "inbound", peer, port },
    answers: inboundAnswers,
    counts: shard.downstreamCounts("inbound", tls),
  });
  return { kind: "taken", readsOn: downstream.feed(at.bytes, at.start, at.end) };
}
