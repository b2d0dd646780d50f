import test from "ava";
import { coloured, plain, print } from "../../src/explain/print.ts";
import { route } from "../core/resolve/world.ts";
import { ask, smallMesh, worldOf } from "./world-in-test.ts";

const rules = [
  "[{ matches: [{ headers: [{ name: x-one, value: '1' }] }], timeouts: { request: 2s },",
  "backendRefs: [{ name: b, port: 8080, weight: 3 }, { name: gone, port: 8080, weight: 1 }] },",
  "{ backendRefs: [{ name: a, port: 8080 }] }]",
].join(" ");

test("print() tells a request's way from top to bottom", (t) => {
  const world = worldOf(smallMesh, route("r", "a", rules));
  const text = print(ask(world, "POST /x?y=1", { headers: ["x-one: 1"] }), plain);
  t.is(
    text,
    `POST /x?y=1 from demo/client to a.demo.svc.cluster.local:8080
  host: a.demo:8080
  x-one: 1

Routes of Service demo/a:8080, as they are tried
  > HTTPRoute demo/r rule 0 match 0: matches
    HTTPRoute demo/r rule 1 match 0: matches

Taken by
  HTTPRoute demo/r rule 0 match 0, before HTTPRoute demo/r rule 1 match 0 (more header matches)

Limits
  timeouts: request 2s

Backends
  75 % Service demo/b:8080 (b.demo.svc.cluster.local:8080): 1 endpoint
  25 % Service demo/gone:8080: cannot be used: Service not found gone
    failure: answers every request with 500: Service not found gone

At port 8080 of demo/b-1 (Service demo/b:8080)
  passes: no sidecar stands in front: the request arrives in plain text and nothing is asked

Complaints of the mesh
  HTTPRoute demo/r at Service demo/a: ResolvedRefs False BackendNotFound: Service not found gone

What becomes of it
  75 % gets to Service demo/b:8080
  25 % is refused with 500 by Service demo/gone:8080: Service not found gone
`,
  );
});

test("print() tells what is spoken to a backend, where anybody has said", (t) => {
  const mesh = smallMesh.replace(
    /(name: b, namespace: demo[\s\S]*?port: 8080)/,
    "$1, appProtocol: kubernetes.io/h2c",
  );
  const rule = "[{ backendRefs: [{ name: a, port: 8080 }, { name: b, port: 8080 }] }]";
  const { outbound, ...rest } = ask(worldOf(mesh, route("r", "a", rule)), "GET /");
  t.deepEqual(
    outbound?.backends.map(({ speaks }) => speaks),
    ["", "HTTP/2"],
  );
  const text = print({ outbound, ...rest }, plain);
  t.regex(text, /Service demo\/a:8080 \(a[^)]*\): 1 endpoint/);
  t.regex(text, /Service demo\/b:8080 \(b[^)]*\) over HTTP\/2: 1 endpoint/);
});

test("print() shows a screen of entries, the one that takes the request among them", (t) => {
  const many = Array.from({ length: 30 }, (_none, at) => {
    const value = `/${"x".repeat(40 - at)}`;
    return `{ matches: [{ path: { type: PathPrefix, value: ${value} } }], backendRefs: [{ name: b, port: 8080 }] }`;
  });
  const world = worldOf(
    smallMesh,
    route("one", "a", `[${many.slice(0, 15).join(", ")}]`),
    route("two", "a", `[${many.slice(15).join(", ")}, { backendRefs: [{ name: a, port: 8080 }] }]`),
  );
  const text = print(ask(world, "/"), plain);
  t.regex(text, /\n {2}> HTTPRoute demo\/two rule 15 match 0: matches\n/);
  t.regex(text, /and 10 more: -o json lists them/);
});

test("print() lets nothing through that would move the cursor", (t) => {
  const explanation = ask(worldOf(smallMesh), "/");
  const text = print({ ...explanation, notes: ["a\u001b[2Jb\u0007c\u009bd\re"] }, coloured);
  t.true(text.includes("  a?[2Jb?c?d?e\n"));
  t.true(text.startsWith("\u001b[1mGET /"));
  t.false(print(explanation, plain).includes("\u001b"));
});
