/**
 * The tables of Gateway API's HTTPRoute, from manifests to sockets: every row over a connection that is kept and over a fresh one, against a sidecar with one worker
 * and against one with several.
 */
import test from "ava";
import {
  atSection,
  backends,
  besideSection,
  durations,
  fieldManifests,
  imports,
  origins,
  sessionSpellings,
  slips,
} from "./gateway-field-rows.ts";
import {
  cors,
  manifests,
  matching,
  originNames,
  precedence,
  redirects,
  rewrites,
  statuses,
  taken,
  ties,
} from "./gateway-rows.ts";
import { judge, type Row, TableMesh } from "./table-mesh.ts";
import { eventually } from "./test-mesh.ts";

for (const workers of [1, 3]) {
  const with_ = `with ${workers} worker${workers === 1 ? "" : "s"}`;
  let tables: TableMesh;

  test.before(async () => {
    tables = await TableMesh.start(originNames, workers, (portOf) => [
      ...manifests(portOf),
      ...fieldManifests(portOf),
    ]);
    const mood = tables.origins.get("mood");
    const headed = tables.origins.get("headed");
    if (mood === undefined || headed === undefined) throw new Error("An origin is missing");
    mood.answer = async ({ method = "", url = "", rawHeaders }, response) => {
      mood.seen.push({ method, url, rawHeaders, body: "" });
      if (url.startsWith("/hang")) return;
      if (url.startsWith("/503")) response.writeHead(503);
      if (url.startsWith("/reset")) response.destroy();
      else if (url.startsWith("/late")) setTimeout(() => response.end("late"), 300);
      else response.end();
    };
    headed.answer = async ({ headers: got }, response) => {
      response.setHeader("x-set", "theirs");
      response.setHeader("x-add", "theirs");
      response.setHeader("x-remove", "theirs");
      response.end(JSON.stringify([got["x-set"], got["x-add"], got["x-remove"] ?? ""]));
    };
  });

  test.after.always(async () => {
    await tables[Symbol.asyncDispose]();
  });

  const table = (title: string, host: string, rows: readonly Row[]): void => {
    test.serial(`${title}, ${with_}`, async (t) => {
      await judge(t, tables, host, rows);
    });
  };

  table("matches of paths, headers, parameters and methods", "match", matching.rows);
  table("precedence of matches", "precedence", precedence.rows);
  table("precedence of routes and rules that are alike", "ties", ties.rows);
  table("redirects from port 80", "redirect", redirects.rowsAt(80));
  table("redirects from port 8080", "redirect:8080", redirects.rowsAt(8080));
  table("rewrites of the matched prefix", "rewrite", rewrites.rows);
  table("redirects of the matched prefix", "relocate", rewrites.redirectRows);
  table("cross-origin requests", "cors", cors.rows);
  table("what cannot be sent on", "status", statuses.rows);

  table("origins of cross-origin requests", "origins", origins);
  table("durations", "durations", durations);
  table("backends and direct responses", "backends", backends);
  table("a route for a port by its name", "section", atSection);
  table("a route for a port by its name leaves the others alone", "section:8080", besideSection);
  table("a rule with a slip refuses its own requests", "slip", slips);
  table("a route with one parent of somebody else", "imported", imports);

  table("header modifiers", "headers", [
    {
      ask: "/",
      headers: "X-Set: mine\r\nX-Add: mine\r\nX-Remove: mine\r\n",
      body: '["one","mine, two",""]',
      has: { "x-set": "one", "x-remove": undefined },
    },
    { ask: "/", body: '["one","two",""]' },
  ]);

  table("a route to its own Service does not loop", "self", [{ ask: "/", ...taken("self") }]);
  table("a Service without routes gets every request", "plain", [
    { ask: "/any", body: "plain GET /any", has: { "x-rule": undefined } },
  ]);
  table("a route for one port leaves the others alone", "ported", [
    { ask: "/any", body: "plain GET /any" },
  ]);
  table("a route for one port refuses there what it does not match", "ported:8080", [
    { ask: "/any", status: 404 },
    { ask: "/only", ...taken("ported") },
  ]);
  table("host names of a route mean nothing in a mesh", "hosted", [
    { ask: "/", ...taken("hosted") },
  ]);
  table("a consumer route replaces those of the producer", "producer.other", [
    { ask: "/mine", ...taken("consumer") },
    { ask: "/theirs", status: 404 },
  ]);
  table("a destination that is not there", "nowhere", [{ ask: "/", status: 502 }]);

  table("timeouts", "resilience", [
    { ask: "/hang/request", status: 504 },
    { ask: "/hang/try", status: 504 },
    { ask: "/late", body: "late" },
  ]);

  test.serial(`a backend that is not there is a 500 for its share, ${with_}`, async (t) => {
    const found: number[] = [];
    for (let i = 0; i < 100; i++) {
      const answers = await tables.ask("GET /share HTTP/1.1\r\nHost: backends\r\n\r\n");
      found.push(...answers.map(({ status }) => status));
    }
    const refused = found.filter((status) => status === 500).length;
    t.is(found.filter((status) => status === 200).length, 200 - refused);
    // 200 requests, of which a quarter is refused; six standard deviations either way.
    t.true(refused > 50 - 37 && refused < 50 + 37, `${refused} of 200`);
  });

  test.serial(`a Service without its last route is itself again, ${with_}`, async (t) => {
    const statusOf = async (path: string): Promise<readonly number[]> => {
      const answers = await tables.ask(`GET ${path} HTTP/1.1\r\nHost: fleeting\r\n\r\n`);
      return answers.map(({ status }) => status);
    };
    const until = async (path: string, wanted: number): Promise<void> => {
      const isWanted = (found: readonly number[]): boolean => found.every((one) => one === wanted);
      t.true(isWanted((await eventually(() => statusOf(path), isWanted, 10_000)).value));
    };
    await until("/one", 200);
    t.deepEqual(
      [await statusOf("/two"), await statusOf("/three")],
      [
        [200, 200],
        [404, 404],
      ],
    );
    tables.remove("name: fleeting-one,");
    await until("/one", 404);
    t.deepEqual(
      [await statusOf("/two"), await statusOf("/three")],
      [
        [200, 200],
        [404, 404],
      ],
    );
    tables.remove("name: fleeting-two,");
    await until("/three", 200);
    await until("/one", 200);
  });

  test.serial(`every spelling of sessions, ${with_}`, async (t) => {
    for (const { path, header, says } of sessionSpellings) {
      const [first] = await tables.ask(`GET ${path} HTTP/1.1\r\nHost: spelled\r\n\r\n`);
      const value = first.headers.get(header) ?? "";
      t.regex(value, says, path);
      const session =
        header === "set-cookie" ? `Cookie: ${value.split(";")[0]}` : `${header}: ${value}`;
      const has = { "x-origin": first.headers.get("x-origin") };
      const row = { ask: path, headers: `${session}\r\n`, has };
      await judge(t, tables, "spelled", [row, row, row]);
    }
  });

  test.serial(`retries, ${with_}`, async (t) => {
    const seen = tables.origins.get("mood")?.seen ?? [];
    const rows: readonly (readonly [string, number])[] = [
      ["/503/always", 4],
      ["/503/unlisted", 1],
      // A GET that met a connection which was just closed would be sent once more.
      ["/reset", 2],
    ];
    for (const [ask, tries] of rows) {
      seen.length = 0;
      const row = { ask: `POST ${ask}`, headers: "Content-Length: 0\r\n", status: 503 };
      await judge(t, tables, "resilience", [row]);
      t.is(seen.length, 2 * tries, ask);
    }
  });

  test.serial(`a session goes to one endpoint over every connection, ${with_}`, async (t) => {
    const names = new Set<string | undefined>();
    for (let i = 0; i < 10; i++) {
      const [first] = await tables.ask("GET / HTTP/1.1\r\nHost: session\r\n\r\n");
      const chosen = first.headers.get("x-origin");
      const cookie = (first.headers.get("set-cookie") ?? "").split(";")[0];
      names.add(chosen);
      const rows = [{ ask: "/", headers: `Cookie: ${cookie}\r\n`, has: { "x-origin": chosen } }];
      for (let j = 0; j < 4; j++) await judge(t, tables, "session", rows);
    }
    t.true(names.size > 1, "every session was the same");
  });
}
