import test from "ava";
import { defaultLoad } from "../../src/core/model/backend.ts";
import { EndpointGroup, type EndpointState, type Idle } from "../../src/proxy/endpoints.ts";
import { endpoint } from "../harness/policies.ts";

type Member = EndpointState<Idle>;

/** Numbers that are as good as random and the same each time. */
function sequence(): () => number {
  let seed = 1;
  return () => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed / 2_147_483_647;
  };
}

function groupOf(...ports: readonly number[]): EndpointGroup<Idle> {
  const group = new EndpointGroup<Idle>(defaultLoad);
  group.update({ exists: true, endpoints: ports.map((port) => endpoint(port)) }, 0);
  return group;
}

/** A request to it that is over at once. */
function use(group: EndpointGroup<Idle>, member: Member | undefined): number {
  if (member === undefined) return 0;
  group.begin(member);
  group.end(member);
  return member.endpoint.port;
}

function picks(
  group: EndpointGroup<Idle>,
  nowMs: number,
  tried: readonly Member[] = [],
): readonly number[] {
  const random = sequence();
  const ports = Array.from({ length: 300 }, () => use(group, group.pick(nowMs, random, tried)));
  return [...new Set(ports)].sort();
}

test("pick() answers nothing for an empty group", (t) => {
  t.deepEqual(picks(groupOf(), 0), [0]);
});

test("pick() draws from all endpoints", (t) => {
  t.deepEqual(picks(groupOf(1, 2, 3), 0), [1, 2, 3]);
});

test("pick() passes over an endpoint that backs off, until its time has come", (t) => {
  const group = groupOf(1, 2, 3);
  group.members[0]?.failed(1_000, 0.5);
  t.deepEqual(picks(group, 1_050), [2, 3]);
  t.deepEqual(picks(group, 1_101), [1, 2, 3]);
});

test("failed() doubles the back-off from 100 ms to 10 s, and reached() ends it", (t) => {
  const group = groupOf(1, 2);
  const [member] = group.members;
  if (member === undefined) throw new Error("The group is empty");
  const waits = Array.from({ length: 10 }, () => {
    member.failed(0, 0.5);
    return member.retryAtMs;
  });
  t.deepEqual(waits, [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000, 10_000]);
  member.reached();
  t.deepEqual(picks(group, 0), [1, 2]);
});

test("pick() takes the endpoint that is next to be tried when all back off", (t) => {
  const group = groupOf(1, 2, 3);
  for (const [at, member] of group.members.entries()) member.failed(at * 10, 0.5);
  t.deepEqual(picks(group, 50), [1]);
});

test("pick() does not answer an endpoint that was tried", (t) => {
  const group = groupOf(1, 2);
  t.deepEqual(picks(group, 0, group.members.slice(0, 1)), [2]);
  t.deepEqual(picks(group, 0, group.members), [0]);
});

test("pick() prefers the endpoint that has less to do", (t) => {
  const group = groupOf(1, 2);
  const [busy] = group.members;
  if (busy === undefined) throw new Error("The group is empty");
  group.begin(busy);
  t.deepEqual(picks(group, 0), [2]);
  group.end(busy);
  // Until it has caught up, all goes to the one that was busy.
  t.deepEqual(picks(group, 100_000), [1, 2]);
});

test("update() keeps what is known about an endpoint that stays", (t) => {
  const group = groupOf(1, 2);
  const [, slow] = group.members;
  if (slow === undefined) throw new Error("The group is empty");
  group.observe(slow, 5_000, 0);
  group.update({ exists: true, endpoints: [endpoint(2), endpoint(3)] }, 0);
  t.is(group.members[0], slow);
  t.deepEqual(picks(group, 0), [3]);
});

test("update() closes the idle connections of endpoints that are gone, and only theirs", (t) => {
  const group = groupOf(1, 2);
  const closed: number[] = [];
  for (const { idle, endpoint } of group.members) {
    idle.push({ close: () => closed.push(endpoint.port) });
  }
  const [gone, stays] = group.members;
  group.update({ exists: true, endpoints: [endpoint(2)] }, 0);
  t.deepEqual(closed, [1]);
  t.true(gone?.gone);
  t.false(stays?.gone);
});

test("update() takes an endpoint that is somebody else now as a new one", (t) => {
  const group = new EndpointGroup<Idle>(defaultLoad);
  const as = (identity: string) => ({
    exists: true,
    endpoints: [endpoint(1, { tls: { identity, serverName: identity } })],
  });
  group.update(as("a"), 0);
  const [before] = group.members;
  group.update(as("b"), 0);
  t.not(group.members[0], before);
  t.true(before?.gone);
});

test("end() of an endpoint that is gone does nothing", (t) => {
  const group = groupOf(1, 2);
  const [gone] = group.members;
  if (gone === undefined) throw new Error("The group is empty");
  group.begin(gone);
  group.update({ exists: true, endpoints: [endpoint(2), endpoint(3)] }, 0);
  group.end(gone);
  group.observe(gone, 9_999, 0);
  t.deepEqual(picks(group, 0), [2, 3]);
});

test("pick() and the others leave out endpoints that a breaker keeps requests from", (t) => {
  const group = groupOf(1, 2, 3);
  const breaker = { isAvailable: ({ endpoint }: Member) => endpoint.port !== 2 };
  const random = sequence();
  const ports = Array.from(
    { length: 300 },
    () => group.pick(0, random, [], breaker)?.endpoint.port,
  );
  t.deepEqual([...new Set(ports)].sort(), [1, 3]);
  t.is(group.memberAt("127.0.0.1:2", 0, breaker), undefined);
  t.is(group.memberAt("127.0.0.1:2", 0)?.endpoint.port, 2);
  t.deepEqual(group.tally(0, breaker), { ready: 2, pending: 1 });
  const closed = { isAvailable: () => false };
  t.is(group.pick(0, random, [], closed), undefined);
  t.false(group.isOpen(0, closed));
  t.true(group.isOpen(0, breaker));
});

test("pick() prefers the endpoint that has less to do also when some endpoint is out", (t) => {
  const group = groupOf(1, 2, 3);
  const [out, busy] = group.members;
  if (out === undefined || busy === undefined) throw new Error("The group is empty");
  out.failed(0, 0.5);
  group.begin(busy);
  const random = sequence();
  const ports = Array.from({ length: 400 }, () => group.pick(0, random, [])?.endpoint.port);
  t.is(ports.filter((port) => port === 2).length, 0);
});

test("pick() gives an endpoint that has just come its share bit by bit", (t) => {
  const group = groupOf(1, 2);
  group.update({ exists: true, endpoints: [endpoint(1), endpoint(2), endpoint(3)] }, 60_000);
  // As fast as a new one is believed to be.
  for (const member of group.members) group.observe(member, 30, 60_000);
  const shareAt = (nowMs: number): number => {
    const random = sequence();
    const ports = Array.from({ length: 3_000 }, () => use(group, group.pick(nowMs, random, [])));
    return ports.filter((port) => port === 3).length / ports.length;
  };
  const [first, later, full] = [shareAt(60_000), shareAt(65_000), shareAt(70_000)];
  t.true(first < 0.1 && first < later && later < full, `${first} ${later} ${full}`);
});

/** Requests that each endpoint got from clients that ask again as soon as they are answered. An endpoint takes up to twice its time, by chance. */
function shares(usualMs: readonly number[], clients: number, seconds: number): readonly number[] {
  const group = groupOf(...usualMs.keys());
  const random = sequence();
  const counts = usualMs.map(() => 0);
  const due = new Map<number, (() => void)[]>();
  const ask = (nowMs: number): void => {
    const member = group.pick(nowMs, random, []);
    if (member === undefined) throw new Error("Nobody was picked");
    const at = member.endpoint.port;
    const tookMs = Math.ceil((usualMs[at] ?? 0) * (1 + random()));
    group.begin(member);
    counts[at] = (counts[at] ?? 0) + 1;
    const then = due.get(nowMs + tookMs) ?? [];
    due.set(nowMs + tookMs, then);
    then.push(() => {
      group.end(member);
      group.observe(member, tookMs, nowMs + tookMs);
      ask(nowMs + tookMs);
    });
  };
  for (let client = 0; client < clients; client++) ask(0);
  for (let nowMs = 0; nowMs < seconds * 1_000; nowMs++) {
    for (const answer of due.get(nowMs) ?? []) answer();
    due.delete(nowMs);
  }
  return counts;
}

test("pick() gives endpoints that are equally good equally much, whether many or few ask", (t) => {
  for (const clients of [1, 3, 100]) {
    const counts = shares([20, 20, 20], clients, 20);
    const even = counts.reduce((sum, count) => sum + count, 0) / 3;
    for (const count of counts) {
      t.true(Math.abs(count - even) <= 0.02 * even, `${clients} clients: ${counts.join(" ")}`);
    }
  }
});

test("pick() gives an endpoint that is ten times slower much less, whether many or few ask", (t) => {
  for (const clients of [1, 3, 100]) {
    const [good = 0, also = 0, slow = 0] = shares([20, 20, 200], clients, 20);
    t.true(slow < 0.3 * Math.min(good, also), `${clients} clients: ${good} ${also} ${slow}`);
  }
});

test("inFlight counts what is under way, also to endpoints that are gone", (t) => {
  const group = groupOf(1);
  const [member] = group.members;
  if (member === undefined) throw new Error("The group is empty");
  group.begin(member);
  t.is(group.inFlight, 1);
  group.update({ exists: true, endpoints: [] }, 0);
  group.end(member);
  t.is(group.inFlight, 0);
});
