import test from "ava";
import { knowsExtensions } from "../../src/policy-service/api-version.ts";

const says = (version: string | undefined) => (name: string) =>
  name === "weft-api" ? version : undefined;
const identity = "web.demo.serviceaccount.identity.weft.cluster.local";

for (const peer of ["127.0.0.1:4000", "127.9.0.1:1", "[::1]:4000"]) {
  test(`knowsExtensions() believes ${peer} without a certificate`, (t) => {
    t.true(knowsExtensions({ peer, identity: undefined, metadata: says("1") }));
    t.false(knowsExtensions({ peer, identity: undefined, metadata: says(undefined) }));
  });
}

for (const peer of ["10.0.0.1:4000", "[fd00::1]:4000", "[::ffff:10.0.0.1]:1", "unknown", ""]) {
  test(`knowsExtensions() believes ${JSON.stringify(peer)} only with one`, (t) => {
    t.false(knowsExtensions({ peer, identity: undefined, metadata: says("1") }));
    t.true(knowsExtensions({ peer, identity, metadata: says("1") }));
    t.false(knowsExtensions({ peer, identity, metadata: says("2") }));
  });
}
