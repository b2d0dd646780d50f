import test from "ava";
import type { DecisionReply } from "../../src/sidecar/ask-decision.ts";
import { decisionPage } from "../../src/sidecar/decision-page.ts";

async function page(
  reply: DecisionReply,
  remoteAddress: string,
): Promise<{ readonly status: number; readonly body: string }> {
  const handler = decisionPage(async () => reply);
  const { status, body } = await handler({
    method: "GET",
    path: "/decisions/a-0-1-1",
    query: new URLSearchParams(),
    headers: {},
    remoteAddress,
  });
  return { status, body: String(body) };
}

test("decisionPage() tells this machine alone", async (t) => {
  const unknown = { state: "unknown" } as const;
  t.is((await page(unknown, "10.0.0.1")).status, 403);
  t.is((await page(unknown, "")).status, 403);
  for (const own of ["127.0.0.1", "127.7.0.2", "::1", "::ffff:127.0.0.1"]) {
    t.is((await page(unknown, own)).status, 404, own);
  }
});

test("decisionPage() says why nothing is known, and what to do", async (t) => {
  const overwritten = await page({ state: "overwritten", kept: 4_096 }, "127.0.0.1");
  t.is(overwritten.status, 410);
  t.is(
    overwritten.body,
    "repeat the request: a worker remembers its last 4096 decisions, and newer ones came since\n",
  );
  const states = ["malformed", "foreign", "restarted", "silent"] as const;
  const statuses = await Promise.all(states.map((state) => page({ state }, "::1")));
  t.deepEqual(
    statuses.map(({ status }) => status),
    [400, 404, 410, 503],
  );
});
