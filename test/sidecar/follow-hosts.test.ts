import { setImmediate } from "node:timers/promises";
import test from "ava";
import type { StaticHost } from "../../src/core/model/backend.ts";
import { type EndpointSet, endpointKey } from "../../src/core/model/endpoint.ts";
import { describeFaults, type Fault } from "../../src/core/std/result.ts";
import type { NameAnswer } from "../../src/edge/net/dns.ts";
import {
  followHosts,
  isLoopback,
  maxLookUpMs,
  minLookUpMs,
} from "../../src/sidecar/follow-hosts.ts";
import type { FollowedStream } from "../../src/sidecar/follow-stream.ts";
import { type ManualClock, manualClock } from "./manual-clock.ts";

class Rig {
  readonly clock: ManualClock = manualClock();
  readonly answers = new Map<string, NameAnswer>();
  readonly asked: string[] = [];
  readonly told: EndpointSet[] = [];
  readonly stream: FollowedStream;
  faults: readonly Fault[] = [];

  constructor(hosts: readonly StaticHost[], allowsLoopback = true) {
    this.stream = followHosts({
      hosts,
      allowsLoopback,
      surroundings: this.clock,
      lookUp: (name) => {
        this.asked.push(name);
        return Promise.resolve(this.answers.get(name) ?? { ok: false, reason: "ENOTFOUND" });
      },
      onChange: (set, faults) => {
        this.told.push(set);
        this.faults = faults;
      },
    });
  }

  knows(name: string, ips: readonly string[], ttlMs = 30_000): void {
    this.answers.set(name, { ok: true, ips, ttlMs });
  }

  /** Moves the clock and lets the answers come. */
  async advance(ms: number): Promise<void> {
    this.clock.advance(ms);
    await setImmediate();
  }

  addresses(): readonly string[] | undefined {
    return this.told.at(-1)?.endpoints.map(endpointKey);
  }
}

const api = { host: "api.example.com", port: 80 };

test("followHosts() takes addresses as they are, in their one spelling", async (t) => {
  const rig = new Rig([
    { host: "10.0.0.2", port: 80 },
    { host: "10.0.0.1", port: 8080 },
    { host: "::ffff:10.0.0.2", port: 80 },
    { host: "2001:DB8:0::1", port: 80 },
  ]);
  t.is(rig.told.length, 0);
  await rig.advance(0);
  t.deepEqual(rig.addresses(), ["10.0.0.1:8080", "10.0.0.2:80", "[2001:db8::1]:80"]);
  t.is(rig.stream.fact().state, "connected");
  t.deepEqual(rig.clock.pauses(), []);
});

test("followHosts() looks names up again when their answers are over, within its bounds", async (t) => {
  const rig = new Rig([api]);
  rig.knows("api.example.com", ["10.0.0.1"], 30_000);
  await rig.advance(0);
  t.deepEqual(rig.addresses(), ["10.0.0.1:80"]);
  t.deepEqual(rig.clock.pauses(), [30_000 * 1.05]);
  rig.knows("api.example.com", ["10.0.0.1", "10.0.0.2"], 0);
  await rig.advance(31_500);
  t.deepEqual(rig.addresses(), ["10.0.0.1:80", "10.0.0.2:80"]);
  t.deepEqual(rig.clock.pauses(), [minLookUpMs * 1.05]);
  rig.knows("api.example.com", ["10.0.0.2"], 86_400_000);
  await rig.advance(minLookUpMs * 1.05);
  t.deepEqual(rig.addresses(), ["10.0.0.2:80"]);
  t.deepEqual(rig.clock.pauses(), [maxLookUpMs * 1.05]);
});

test("followHosts() tells nothing when an answer only changes its order", async (t) => {
  const rig = new Rig([api]);
  rig.knows("api.example.com", ["10.0.0.1", "10.0.0.2"]);
  await rig.advance(0);
  rig.knows("api.example.com", ["10.0.0.2", "10.0.0.1"]);
  await rig.advance(maxLookUpMs);
  t.is(rig.asked.length, 2);
  t.is(rig.told.length, 1);
});

test("followHosts() keeps the last good answer while lookups fail, and says so", async (t) => {
  const rig = new Rig([api]);
  rig.knows("api.example.com", ["10.0.0.1"]);
  await rig.advance(0);
  rig.answers.set("api.example.com", { ok: false, reason: "ESERVFAIL" });
  await rig.advance(maxLookUpMs);
  t.deepEqual(rig.addresses(), ["10.0.0.1:80"]);
  t.like(rig.stream.fact(), {
    state: "disconnected",
    reason: 'no address of "api.example.com": ESERVFAIL',
  });
  rig.knows("api.example.com", ["10.0.0.9"]);
  await rig.advance(maxLookUpMs);
  t.deepEqual(rig.addresses(), ["10.0.0.9:80"]);
  t.is(rig.stream.fact().state, "connected");
});

test("followHosts() tells that there is nothing when the first lookup fails", async (t) => {
  const rig = new Rig([api]);
  await rig.advance(0);
  t.deepEqual(rig.addresses(), []);
  t.is(rig.stream.fact().state, "disconnected");
});

test("followHosts() waits for every name, and asks once for two ports of one", async (t) => {
  const rig = new Rig([api, { ...api, port: 81 }, { host: "other.example.com", port: 80 }]);
  rig.knows("api.example.com", ["10.0.0.1"]);
  rig.knows("other.example.com", ["10.0.0.2"]);
  await rig.advance(0);
  t.deepEqual(rig.asked, ["api.example.com", "other.example.com"]);
  t.is(rig.told.length, 1);
  t.deepEqual(rig.addresses(), ["10.0.0.1:80", "10.0.0.1:81", "10.0.0.2:80"]);
});

test("followHosts() leaves out addresses that mean something else on every machine", async (t) => {
  const refused = [
    "0.0.0.0",
    "127.0.0.1",
    "127.9.9.9",
    "169.254.169.254",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "fe80::1",
    "ff02::1",
  ];
  const rig = new Rig([api, ...refused.map((host) => ({ host, port: 80 }))], false);
  rig.knows("api.example.com", [...refused, "10.0.0.1"]);
  await rig.advance(0);
  t.deepEqual(rig.addresses(), ["10.0.0.1:80"]);
  t.is(rig.faults.length, 2 * refused.length);
  t.true(describeFaults(rig.faults).includes("api.example.com: leave out 169.254.169.254"));
});

test("followHosts() takes loopback addresses in a mesh of one machine", async (t) => {
  const rig = new Rig([
    { host: "127.0.0.1", port: 80 },
    { host: "169.254.0.1", port: 80 },
  ]);
  await rig.advance(0);
  t.deepEqual(rig.addresses(), ["127.0.0.1:80"]);
});

test("followHosts() tells and asks nothing after it was closed", async (t) => {
  const rig = new Rig([api]);
  rig.knows("api.example.com", ["10.0.0.1"]);
  rig.clock.advance(0);
  rig.stream.close();
  await rig.advance(maxLookUpMs);
  t.deepEqual([rig.told.length, rig.asked.length, rig.clock.pauses().length], [0, 1, 0]);
});

test("isLoopback() knows the addresses of this machine alone", (t) => {
  t.deepEqual(
    ["127.0.0.1", "127.255.0.1", "::1", "10.0.0.1", "0.0.0.0", "::", "localhost"].map(isLoopback),
    [true, true, true, false, false, false, false],
  );
});
