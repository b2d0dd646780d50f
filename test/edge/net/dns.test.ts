import test from "ava";
import { makeLookUp, maxAddresses } from "../../../src/edge/net/dns.ts";
import { DnsServer } from "../../harness/dns-server.ts";

test("makeLookUp() tells all addresses of both families, and for how long they hold", async (t) => {
  await using dns = await DnsServer.start();
  dns.zone.set("api.example.com", [
    { ip: "10.0.0.1", ttl: 30 },
    { ip: "10.0.0.2", ttl: 20 },
    { ip: "2001:db8::1", ttl: 40 },
  ]);
  const lookUp = makeLookUp({ servers: [dns.address], families: [4, 6] });
  const answer = await lookUp("api.example.com");
  t.deepEqual(answer, { ok: true, ips: ["10.0.0.1", "10.0.0.2", "2001:db8::1"], ttlMs: 20_000 });
  t.deepEqual(dns.questions.toSorted(), ["api.example.com 4", "api.example.com 6"]);
});

test("makeLookUp() does not ask for a family that this machine does not speak", async (t) => {
  await using dns = await DnsServer.start();
  dns.zone.set("api.example.com", [
    { ip: "10.0.0.1", ttl: 30 },
    { ip: "2001:db8::1", ttl: 40 },
  ]);
  const lookUp = makeLookUp({ servers: [dns.address], families: [4] });
  t.deepEqual(await lookUp("api.example.com"), { ok: true, ips: ["10.0.0.1"], ttlMs: 30_000 });
  t.deepEqual(dns.questions, ["api.example.com 4"]);
});

test("makeLookUp() takes one family when the other has no address", async (t) => {
  await using dns = await DnsServer.start();
  dns.zone.set("six.example.com", [{ ip: "2001:db8::1", ttl: 5 }]);
  const lookUp = makeLookUp({ servers: [dns.address], families: [4, 6] });
  t.deepEqual(await lookUp("six.example.com"), { ok: true, ips: ["2001:db8::1"], ttlMs: 5_000 });
});

test("makeLookUp() finds a name of the hosts file that DNS does not know", async (t) => {
  await using dns = await DnsServer.start();
  const lookUp = makeLookUp({ servers: [dns.address], families: [4] });
  t.deepEqual(await lookUp("localhost"), { ok: true, ips: ["127.0.0.1"], ttlMs: 0 });
});

test("makeLookUp() says why there is no answer while DNS is broken", async (t) => {
  await using dns = await DnsServer.start();
  dns.zone.set("api.example.com", "broken");
  const lookUp = makeLookUp({ servers: [dns.address], families: [4, 6] });
  t.deepEqual(await lookUp("api.example.com"), { ok: false, reason: "ESERVFAIL" });
});

test("makeLookUp() says why a text is no name", async (t) => {
  const lookUp = makeLookUp({ servers: ["127.0.0.1:1"], families: [4] });
  t.like(await lookUp(`${"x".repeat(64)}.example.com`), { ok: false });
});

test("makeLookUp() takes a bounded number of addresses", async (t) => {
  await using dns = await DnsServer.start();
  const records = Array.from({ length: 200 }, (_, at) => ({ ip: `10.0.0.${at}`, ttl: 60 }));
  const six = Array.from({ length: 200 }, (_, at) => ({ ip: `2001:db8::${at}`, ttl: 60 }));
  dns.zone.set("many.example.com", [...records, ...six]);
  const lookUp = makeLookUp({ servers: [dns.address], families: [4, 6] });
  const answer = await lookUp("many.example.com");
  t.is(answer.ok ? answer.ips.length : 0, maxAddresses);
});
