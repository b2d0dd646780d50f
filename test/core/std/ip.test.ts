import net from "node:net";
import test from "ava";
import fc from "fast-check";
import {
  cidrContains,
  formatCidr,
  formatIp,
  type Ip,
  parseCidr,
  parseIp,
} from "../../../src/core/std/ip.ts";

const canonical = test.macro({
  exec: (t, text: string, expected: string | undefined) => {
    const ip = parseIp(text);
    t.is(ip === undefined ? undefined : formatIp(ip), expected);
  },
  title: (_given, text: string, expected: string | undefined) =>
    `parseIp() reads ${JSON.stringify(text)} as ${expected}`,
});

test(canonical, "10.0.0.1", "10.0.0.1");
test(canonical, "255.255.255.255", "255.255.255.255");
test(canonical, "0.0.0.0", "0.0.0.0");
// RFC 5952 §4.
test(canonical, "2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1");
test(canonical, "2001:DB8::1", "2001:db8::1");
test(canonical, "2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1");
test(canonical, "2001:0:0:1:0:0:0:1", "2001:0:0:1::1");
test(canonical, "2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1");
test(canonical, "::", "::");
test(canonical, "1::", "1::");
test(canonical, "::ffff:10.0.0.1", "10.0.0.1");
test(canonical, "64:ff9b::10.0.0.1", "64:ff9b::a00:1");
for (const text of [
  "",
  "10.0.0",
  "10.0.0.256",
  "010.0.0.1",
  "10.0.0.1.",
  "10.0.0.-1",
  "1e1.0.0.1",
  "0x0a.0.0.1",
  "10.0.0.1/8",
  ":",
  ":::",
  "1::2::3",
  "1:2:3:4:5:6:7",
  "1:2:3:4:5:6:7:8:9",
  "1:2:3:4:5:6:7::8",
  "12345::",
  "g::",
  "fe80::1%eth0",
  "::10.0.0.1:1",
  "::10.0.0.256",
]) {
  test(canonical, text, undefined);
}

const word = fc.constantFrom(0, 1, 0xffff, 0x1_0000, 0xffff_ffff);

const anyIp: fc.Arbitrary<Ip> = fc.oneof(
  fc.nat(0xffff_ffff).map((bits) => ({ family: 4 as const, bits })),
  fc.tuple(word, word, word, word).map((words) => ({ family: 6 as const, words })),
);

test("parseIp() reads what formatIp() writes, and so does Node", (t) => {
  fc.assert(
    fc.property(anyIp, (ip) => {
      const text = formatIp(ip);
      t.true(net.isIP(text) === ip.family);
      if (ip.family === 6 && text.startsWith("::ffff:")) return;
      t.deepEqual(parseIp(text), ip);
    }),
    { numRuns: 1_000 },
  );
});

test("cidrContains() agrees with Node's BlockList", (t) => {
  const nearby = anyIp.chain((ip) => fc.tuple(fc.constant(ip), fc.oneof(fc.constant(ip), anyIp)));
  fc.assert(
    fc.property(nearby, fc.nat(128), ([ip, other], bits) => {
      const prefix = ip.family === 4 ? bits % 33 : bits;
      const list = new net.BlockList();
      const family = (each: Ip): "ipv4" | "ipv6" => (each.family === 4 ? "ipv4" : "ipv6");
      list.addSubnet(formatIp(ip), prefix, family(ip));
      if (ip.family !== other.family) return;
      t.is(cidrContains({ ip, prefix }, other), list.check(formatIp(other), family(other)));
    }),
    { numRuns: 2_000 },
  );
});

test("cidrContains() keeps the families apart", (t) => {
  const every4 = parseCidr("0.0.0.0/0");
  const every6 = parseCidr("::/0");
  const [four, six] = [parseIp("10.0.0.1"), parseIp("::1")];
  if (!(every4 && every6 && four && six)) throw new Error("Could not read the addresses");
  t.false(cidrContains(every4, six));
  t.false(cidrContains(every6, four));
});

test("parseCidr() reads a prefix, or takes the whole address", (t) => {
  const text = (cidr: string): string | undefined => {
    const parsed = parseCidr(cidr);
    return parsed && formatCidr(parsed);
  };
  t.deepEqual(["10.0.0.0/8", "10.0.0.1", "::1", "2001:db8::/32", "0.0.0.0/0"].map(text), [
    "10.0.0.0/8",
    "10.0.0.1/32",
    "::1/128",
    "2001:db8::/32",
    "0.0.0.0/0",
  ]);
  for (const bad of [
    "10.0.0.0/33",
    "::/129",
    "10.0.0.0/",
    "10.0.0.0/08",
    "10.0.0.0/-1",
    "/8",
    "x/8",
    "10.0.0.0/8/8",
  ]) {
    t.is(parseCidr(bad), undefined, bad);
  }
});
