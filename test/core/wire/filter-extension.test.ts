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
    t.true(faults.length > 0);
  },
  title: (given) => `fromWireFilter() answers 500 in place of ${given}`,
});

const backend = { metadata: { kind: { case: "default" as const, value: "a" } } };
const lost = { ...backend, kind: { case: "balancer" as const, value: {} } };

for (const host of ["a b", "a/b", "a\r\nx: y", "user@a", "a?b"]) {
  test(`a rewrite to the host ${JSON.stringify(host)}`, fails, {
    case: "urlRewrite",
    value: { host },
  });
}
test("a rewrite to a path without a slash", fails, {
  case: "urlRewrite",
  value: { path: { case: "full", value: "a" } },
});
test("a rewrite to a path that ends the line", fails, {
  case: "urlRewrite",
  value: { path: { case: "prefix", value: "/a HTTP/1.1\r\n" } },
});
test("a mirror without a backend", fails, { case: "mirror", value: { denominator: 1 } });
test("a mirror to a backend that is none", fails, {
  case: "mirror",
  value: { backend: lost, denominator: 1 },
});
test("a mirror of a share that cannot be computed", fails, { case: "mirror", value: { backend } });
test("CORS with an empty origin", fails, { case: "cors", value: { origins: [""] } });
test("CORS with a method that ends the header", fails, {
  case: "cors",
  value: { methods: ["GET\r\n"] },
});
test("CORS with a header that is none", fails, { case: "cors", value: { headers: ["a b"] } });
test("CORS that exposes a header that is none", fails, { case: "cors", value: { exposed: [""] } });
test("external authorization without a backend", fails, { case: "externalAuth", value: {} });
test("external authorization by a backend that is none", fails, {
  case: "externalAuth",
  value: { backend: lost },
});
test("external authorization at a path without a slash", fails, {
  case: "externalAuth",
  value: { backend, pathPrefix: "check" },
});
test("external authorization with a header that is none", fails, {
  case: "externalAuth",
  value: { backend, responseHeaders: ["a:"] },
});
for (const status of [0, 101, 600]) {
  test(`a direct response with status ${status}`, fails, {
    case: "directResponse",
    value: { status },
  });
}
test("a direct response whose type ends the header", fails, {
  case: "directResponse",
  value: { status: 200, contentType: "a\r\nb" },
});
test("a delay of no length", fails, { case: "delay", value: { denominator: 1 } });
test("a negative delay", fails, {
  case: "delay",
  value: { delay: { seconds: -1n }, denominator: 1 },
});
test("a delay of a share that cannot be computed", fails, {
  case: "delay",
  value: { delay: { seconds: 1n } },
});

test("fromWireFilter() has names of headers in lower case where they are compared", (t) => {
  t.like(read({ case: "cors", value: { headers: ["X-One"], exposed: ["X-Two"] } }).value, {
    cors: { headers: ["x-one"], exposed: ["X-Two"] },
  });
  const auth = { backend, requestHeaders: ["X-One"], responseHeaders: ["X-Two"] };
  t.like(read({ case: "externalAuth", value: auth }).value, {
    auth: { requestHeaders: ["x-one"], responseHeaders: ["x-two"] },
  });
});

test("fromWireFilter() mirrors to a backend that cannot be reached, which is to nobody", (t) => {
  const { value, faults } = read({ case: "mirror", value: { backend, denominator: 1 } });
  t.like(value, { kind: "mirror", mirror: { backend: { dispatch: { kind: "fail" } } } });
  t.deepEqual(faults, []);
});

const to = { meta: { type: "default", name: "a" }, dispatch: { kind: "fail" } } as const;
const ratio = { numerator: 1, denominator: 1 };

test("toWireInboundFilter() fails a rule with a filter that inbound routes do not have", (t) => {
  const filters: readonly [Filter, string][] = [
    [{ kind: "url-rewrite", rewrite: { host: "a", path: undefined } }, "URLRewrite"],
    [{ kind: "mirror", mirror: { backend: to, ...ratio } }, "RequestMirror"],
    [{ kind: "delay", delay: { delayMs: 1, ...ratio } }, "HTTPFault.delay"],
  ];
  for (const [filter, name] of filters) {
    t.like(create(InboundFilterSchema, toWireInboundFilter(filter)).kind, {
      case: "failureInjector",
      value: { status: 500, message: `${name} is not supported on inbound routes` },
    });
  }
});

test("toWireOutboundFilter() puts a slash in front of a prefix, and sends what the field can carry", (t) => {
  const init = toWireOutboundFilter({
    kind: "external-auth",
    auth: {
      protocol: "http",
      backend: to,
      pathPrefix: "check",
      requestHeaders: [],
      responseHeaders: [],
      maxBodyBytes: 2 ** 40,
    },
  });
  t.like(create(HttpRoute_FilterSchema, init).kind.value, {
    pathPrefix: "/check",
    maxBodyBytes: 4_294_967_295,
  });
});
