import test from "ava";
import { type Filter, failAlways } from "../../src/core/model/filter.ts";
import type { FilterEntry } from "../../src/core/table/outbound.ts";
import type { TravellingRequest } from "../../src/explain/travelling-request.ts";
import { type Walk, walkFilters } from "../../src/explain/walk-filters.ts";

const request: TravellingRequest = {
  method: "GET",
  path: "/a/b",
  query: "q=1",
  authority: "web.demo:8080",
  headers: new Map([["host", "web.demo:8080"]]),
};

function walk(filters: readonly (Filter | FilterEntry)[], of: TravellingRequest = request): Walk {
  return walkFilters(filters, of, {
    asMatched: of,
    matchedPrefix: "/a",
    listenerPort: 8080,
    nameOf: (backend) => `backend ${backend}`,
  });
}

const nothing = { set: [], add: [], remove: [] };

test("walkFilters() changes headers in the order remove, set, add", (t) => {
  const modifier = {
    remove: ["X-One"],
    set: [{ name: "x-two", value: "ä" }],
    add: [
      { name: "x-two", value: "3" },
      { name: "X-One", value: "4" },
    ],
  };
  const headers = new Map([["x-one", "1"]]);
  const { request: after, onward } = walk([{ kind: "request-headers", modifier }], {
    ...request,
    headers,
  });
  t.deepEqual(
    [...after.headers],
    [
      ["x-two", "\u00c3\u00a4, 3"],
      ["x-one", "4"],
    ],
  );
  t.is(onward, 1);
});

test("walkFilters() rewrites path and host for what comes after", (t) => {
  const path = { kind: "prefix", value: "/c/" } as const;
  const { request: after, steps } = walk([
    { kind: "url-rewrite", rewrite: { host: "new.example", path } },
  ]);
  t.like(after, { path: "/c/b", query: "q=1", authority: "new.example" });
  t.is(after.headers.get("host"), "new.example");
  t.deepEqual(steps, [{ kind: "url-rewrite", text: "asks for /c/b?q=1 at new.example" }]);
});

test("walkFilters() refuses a rewrite that cannot be made", (t) => {
  const rewrite = { host: "", path: { kind: "prefix", value: "/c" } } as const;
  const { answers, onward } = walkFilters([{ kind: "url-rewrite", rewrite }], request, {
    asMatched: request,
    matchedPrefix: undefined,
    listenerPort: 8080,
    nameOf: () => "",
  });
  t.like(answers[0], { share: 1, status: 500 });
  t.is(onward, 0);
});

test("walkFilters() stops at the first filter that answers everything", (t) => {
  const { steps, answers } = walk([
    failAlways(503, "closed"),
    { kind: "request-headers", modifier: nothing },
  ]);
  t.is(steps.length, 1);
  t.deepEqual(answers, [{ share: 1, status: 503, reason: "closed" }]);
});

test("walkFilters() lets a share of failures take its share, one after the other", (t) => {
  const failure = (status: number): Filter => ({
    kind: "failure",
    failure: { status, message: "now and then", numerator: 50, denominator: 100 },
  });
  const { answers, onward } = walk([failure(503), failure(504)]);
  t.deepEqual(
    answers.map(({ share, status }) => [share, status]),
    [
      [0.5, 503],
      [0.25, 504],
    ],
  );
  t.is(onward, 0.25);
});

test("walkFilters() answers 500 in place of a status that is no final one", (t) => {
  t.is(walk([failAlways(42, "odd")]).answers[0]?.status, 500);
});

test("walkFilters() answers a preflight request and passes other requests on", (t) => {
  const cors = {
    origins: ["https://app.example"],
    credentials: false,
    methods: ["PUT"],
    headers: [],
    exposed: [],
    maxAgeSeconds: 5,
  };
  const headers = new Map([
    ["origin", "https://app.example"],
    ["access-control-request-method", "PUT"],
  ]);
  const preflight = { ...request, method: "OPTIONS", headers };
  const { answers } = walk([{ kind: "cors", cors }], preflight);
  t.is(answers[0]?.status, 204);
  t.regex(answers[0]?.reason ?? "", /access-control-allow-origin: https:\/\/app\.example/);
  const stranger = new Map([...headers, ["origin", "https://evil.example"]]);
  const refused = walk([{ kind: "cors", cors }], { ...preflight, headers: stranger });
  t.regex(refused.answers[0]?.reason ?? "", /without permission for https:\/\/evil\.example/);
  t.is(walk([{ kind: "cors", cors }], { ...request, headers }).onward, 1);
});

test("walkFilters() tells of copies, delays, questions to others and direct responses", (t) => {
  const auth = {
    protocol: "http",
    backend: 2,
    pathPrefix: "",
    requestHeaders: [],
    responseHeaders: [],
    maxBodyBytes: 0,
  } as const;
  const { steps, answers } = walk([
    { kind: "mirror", mirror: { backend: 1, numerator: 1, denominator: 4 } },
    { kind: "delay", delay: { delayMs: 1_500, numerator: 1, denominator: 1 } },
    { kind: "external-auth", auth },
    { kind: "response-headers", modifier: { ...nothing, remove: ["server"] } },
    { kind: "direct-response", response: { status: 204, body: "", contentType: "" } },
  ]);
  t.deepEqual(
    steps.map(({ text }) => text),
    [
      "sends a copy of 25 % of requests to backend 1",
      "makes every request wait 1s500ms",
      "asks backend 2 first, which may refuse the request",
      "response: removes server",
      "answers every request with 204: the route answers with 204 itself",
    ],
  );
  t.is(answers[0]?.status, 204);
});

test("walkFilters() answers 500 for filters that the proxy refuses when it loads them", (t) => {
  const response = { status: 200, body: "ä".repeat(16_385), contentType: "" };
  const refused: readonly Filter[] = [
    { kind: "request-headers", modifier: { ...nothing, remove: ["Host"] } },
    { kind: "response-headers", modifier: { ...nothing, set: [{ name: "l5d-x", value: "" }] } },
    { kind: "url-rewrite", rewrite: { host: "", path: { kind: "full", value: "/a b" } } },
    { kind: "direct-response", response },
  ];
  t.deepEqual(
    refused.map((filter) => walk([filter]).answers),
    [
      "a filter may set the header 'host', but not add or remove it",
      "a filter may not change the header 'l5d-x'",
      "a filter rewrites the path to something that is not visible ASCII",
      "a filter answers with more than 32768 bytes",
    ].map((reason) => [{ share: 1, status: 500, reason }]),
  );
});
