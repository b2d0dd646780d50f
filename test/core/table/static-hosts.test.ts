import test from "ava";
import fc from "fast-check";
import { normaliseAuthority } from "../../../src/core/model/authority.ts";
import { staticAuthority, staticHostsOf } from "../../../src/core/table/static-hosts.ts";

test("staticHostsOf() reads what staticAuthority() writes, and nothing else is written so", (t) => {
  const host = fc.record({
    host: fc.constantFrom("10.0.0.1", "2001:db8::1", "api.example.com"),
    port: fc.integer({ min: 1, max: 65_535 }),
  });
  fc.assert(
    fc.property(fc.array(host), (hosts) => {
      const name = staticAuthority(hosts);
      t.deepEqual(staticHostsOf(name), hosts);
      t.is(normaliseAuthority(name, "demo", "cluster.local"), undefined);
    }),
  );
});

test("staticHostsOf() takes an authority of the mesh for what it is", (t) => {
  t.is(staticHostsOf("static.demo.svc.cluster.local:80"), undefined);
});
