import test from "ava";
import fc from "fast-check";
import { otherPaths } from "../../../src/core/decide/other-paths.ts";

for (const path of ["/", "*", "", "/a", "/a/b-c_d~e.f", "/a/b.c", "/@x:y,z=1!$&'()*+"]) {
  test(`otherPaths() knows one way to read ${JSON.stringify(path)}`, (t) => {
    t.is(otherPaths(path), undefined);
  });
}

const readings: readonly (readonly [string, string, string])[] = [
  ["//admin", "/admin", "/admin"],
  ["/./admin", "/admin", "/admin"],
  ["/x/../admin", "/admin", "/admin"],
  ["/x/%2e%2E/admin", "/admin", "/admin"],
  ["/..%2fadmin", "/admin", "/admin"],
  ["/%61dmin", "/admin", "/admin"],
  ["/admin/.", "/admin/", "/admin"],
  ["/admin;x=y", "/admin;x=y", "/admin"],
  ["/x;/..;/admin", "/x;/..;/admin", "/admin"],
  ["/\\admin", "/\\admin", "/admin"],
  ["/x%5c..%5cadmin", "/x\\..\\admin", "/admin"],
  ["/ADMIN", "/ADMIN", "/admin"],
  ["/admin/", "/admin/", "/admin"],
  ["/admin.", "/admin.", "/admin"],
  ["/%2561dmin", "/%61dmin", "/admin"],
  ["/x/..%c0%afadmin", "/x/..%c0%afadmin", "/admin"],
  ["/caf%C3%A9", "/caf%C3%A9", "/caf%c3%a9"],
  ["/../..", "/", "/"],
];
for (const [path, normal, loose] of readings) {
  test(`otherPaths() reads ${path} as ${normal} and ${loose}`, (t) => {
    t.deepEqual(otherPaths(path), { normal, loose });
  });
}

test("otherPaths() reads what it has read the same way again", (t) => {
  const path = fc.string({ unit: fc.constantFrom(..."/..%2efF5cC;\\aA0"), maxLength: 30 });
  fc.assert(
    fc.property(path, (text) => {
      const loose = otherPaths(`/${text}`)?.loose ?? "/";
      t.true(loose.startsWith("/"));
      t.false(/\/\/|\/\.\.?(?:\/|$)/.test(loose), loose);
    }),
    { numRuns: 500 },
  );
});
