import { create } from "@bufbuild/protobuf";
import test from "ava";
import type { Filter } from "../../../src/core/model/filter.ts";
import { type Decoded, decode } from "../../../src/core/wire/decode.ts";
import {
  fromWireFilter,
  toWireInboundFilter,
  toWireOutboundFilter,
} from "../../../src/core/wire/filter.ts";
import { HttpRoute_FilterSchema as InboundFilterSchema } from "../../../src/core/wire/gen/linkerd/inbound_pb.ts";
import { HttpRoute_FilterSchema } from "../../../src/core/wire/gen/linkerd/outbound_pb.ts";
import type { Init } from "./init.ts";

type Kind = NonNullable<Init<typeof HttpRoute_FilterSchema>["kind"]>;

function read(kind: Kind): Decoded<Filter> {
  return decode((trace) => fromWireFilter(create(HttpRoute_FilterSchema, { kind }), trace));
}

const fails = test.macro({
  exec: (t, kind: Kind) => {
    const { value, faults } = read(kind);
    t.like(value, { kind: "failure", failure: { status: 500, numerator: 1, denominator: 1 } });
    t.is(faults.length, 1);
  },
  title: (given) => `fromWireFilter() answers 500 in place of ${given}`,
});

const octets = (text: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(Buffer.from(text, "latin1"));

test("a filter of no kind", fails, { case: undefined });
for (const status of [0, 99, 199, 600, 70_000]) {
  test(`a failure with status ${status}`, fails, { case: "failureInjector", value: { status } });
}
for (const status of [200, 299, 400, 1]) {
  test(`a redirect with status ${status}`, fails, { case: "redirect", value: { status } });
}
test("a redirect to a scheme of no kind", fails, { case: "redirect", value: { scheme: {} } });
test("a redirect to an unknown scheme", fails, {
  case: "redirect",
  value: { scheme: { type: { case: "registered", value: 9 as 0 } } },
});
test("a redirect to a scheme that is none", fails, {
  case: "redirect",
  value: { scheme: { type: { case: "unregistered", value: "a:b" } } },
});
test("a redirect to a port beyond 65535", fails, { case: "redirect", value: { port: 65_536 } });
test("a redirect to a host that ends the header", fails, {
  case: "redirect",
  value: { host: "a\r\nset-cookie: b" },
});
test("a redirect with a path of no kind", fails, { case: "redirect", value: { path: {} } });
test("a redirect to a path without a slash", fails, {
  case: "redirect",
  value: { path: { replace: { case: "full", value: "a" } } },
});
test("a redirect to a path that ends the header", fails, {
  case: "redirect",
  value: { path: { replace: { case: "prefix", value: "/a\nb" } } },
});
test("a header whose name is none", fails, {
  case: "requestHeaderModifier",
  value: { set: { headers: [{ name: "a:", value: octets("b") }] } },
});
test("a header whose value ends its line", fails, {
  case: "responseHeaderModifier",
  value: { add: { headers: [{ name: "a", value: octets("b\r\nc: d") }] } },
});
test("a header to remove whose name is none", fails, {
  case: "requestHeaderModifier",
  value: { remove: ["a", ""] },
});

test("fromWireFilter() redirects with 301 where no status is given", (t) => {
  t.like(read({ case: "redirect", value: {} }).value, {
    redirect: { status: 301, path: undefined },
  });
});

test("fromWireFilter() fails every request where no ratio is given, or none that can be computed", (t) => {
  for (const ratio of [undefined, { numerator: 0, denominator: 0 }]) {
    const value = ratio === undefined ? { status: 503 } : { status: 503, ratio };
    t.like(read({ case: "failureInjector", value }).value, {
      failure: { status: 503, numerator: 1, denominator: 1 },
    });
  }
});

test("toWireOutboundFilter() puts a slash in front of a path", (t) => {
  const redirect = { scheme: "", host: "", port: 0, status: 302 };
  const sent = (value: string): unknown => {
    const path = { kind: "prefix", value } as const;
    const init = toWireOutboundFilter({ kind: "redirect", redirect: { ...redirect, path } });
    const { kind } = create(HttpRoute_FilterSchema, init);
    return kind.case === "redirect" ? kind.value.path?.replace.value : undefined;
  };
  t.deepEqual(["", "x", "/x"].map(sent), ["/", "/x", "/x"]);
});

test("toWireInboundFilter() fails a rule that changes response headers", (t) => {
  const modifier = { set: [], add: [], remove: ["x"] };
  const init = toWireInboundFilter({ kind: "response-headers", modifier });
  t.like(create(InboundFilterSchema, init).kind, {
    case: "failureInjector",
    value: { status: 500, message: "ResponseHeaderModifier is not supported on inbound routes" },
  });
});
