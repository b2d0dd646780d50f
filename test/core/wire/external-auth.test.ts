import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import test from "ava";
import fc from "fast-check";
import {
  type AuthCheck,
  type CheckAnswer,
  fromWireCheck,
  maxHeaderChanges,
  toWireCheck,
} from "../../../src/core/wire/external-auth.ts";
import {
  HeaderValueOption_AppendAction as Action,
  Authorization,
  type CheckRequest,
  CheckRequestSchema,
  CheckResponseSchema,
} from "../../../src/core/wire/gen/envoy/ext_authz_pb.ts";
import type { Init } from "./init.ts";

const check: AuthCheck = {
  source: { ip: "10.0.0.1", port: 40_000, principal: "spiffe://mesh/ns/a/sa/client" },
  destination: { ip: "", port: 0, principal: "" },
  id: "1",
  method: "POST",
  headers: [
    { name: "x-a", value: "1" },
    { name: "x-a", value: "2" },
    { name: "__proto__", value: "x" },
  ],
  path: "/a?b=%20",
  host: "web.demo:8080",
  scheme: "http",
  protocol: "HTTP/1.1",
  bodyBytes: 5,
  body: Uint8Array.from(Buffer.from("caf\u00e9")),
};

function sent(parts: Partial<AuthCheck>): CheckRequest {
  const message = create(CheckRequestSchema, toWireCheck({ ...check, ...parts }));
  return fromBinary(CheckRequestSchema, toBinary(CheckRequestSchema, message));
}

function read(response: Init<typeof CheckResponseSchema>): CheckAnswer {
  const message = create(CheckResponseSchema, response);
  return fromWireCheck(fromBinary(CheckResponseSchema, toBinary(CheckResponseSchema, message)));
}

test("the service is the one that Envoy calls", (t) => {
  t.is(Authorization.typeName, "envoy.service.auth.v3.Authorization");
  t.is(Authorization.method.check.name, "Check");
});

// The bytes by hand, from the numbers of the original: a length-delimited field n has the tag n × 8 + 2.
test("toWireCheck() writes the bytes of Envoy's message", (t) => {
  const empty = { ip: "", port: 0, principal: "" };
  const message = create(
    CheckRequestSchema,
    toWireCheck({
      source: empty,
      destination: { ip: "::1", port: 80, principal: "p" },
      id: "",
      method: "GET",
      headers: [{ name: "k", value: "v" }],
      path: "/",
      host: "h",
      scheme: "",
      protocol: "",
      bodyBytes: 1,
      body: Uint8Array.of(0xff),
    }),
  );
  const bytes = Buffer.from(toBinary(CheckRequestSchema, message)).toString("hex");
  const destination = "120e 0a09 0a07 12033a3a31 1850 220170";
  const http = "1203474554 1a06 0a016b 120176 22012f 2a0168 4801 6201ff";
  t.is(bytes, `0a2e 0a00 ${destination} 221a 1218 ${http}`.replaceAll(" ", ""));
});

test("toWireCheck() carries the request", (t) => {
  const { attributes } = sent({});
  const http = attributes?.request?.http;
  t.deepEqual(
    [http?.id, http?.method, http?.path, http?.host, http?.scheme, http?.protocol, http?.size],
    ["1", "POST", "/a?b=%20", "web.demo:8080", "http", "HTTP/1.1", 5n],
  );
  t.is(attributes?.source?.principal, "spiffe://mesh/ns/a/sa/client");
  t.is(attributes?.source?.address?.socketAddress?.address, "10.0.0.1");
  t.is(attributes?.source?.address?.socketAddress?.portValue, 40_000);
  t.is(attributes?.destination?.address, undefined);
});

test("toWireCheck() joins headers of one name", (t) => {
  const headers = sent({}).attributes?.request?.http?.headers ?? {};
  t.is(headers["x-a"], "1,2");
});

test("toWireCheck() writes values as text", (t) => {
  const name = "x-a";
  const value = (octets: string): string | undefined =>
    sent({ headers: [{ name, value: octets }] }).attributes?.request?.http?.headers[name];
  t.is(value("caf\u00c3\u00a9"), "caf\u00e9");
  t.is(value("caf\u00e9"), "caf\ufffd");
});

test("toWireCheck() writes a body that is text as text, and another one as octets", (t) => {
  const http = (octets: readonly number[]) =>
    sent({ body: Uint8Array.from(octets) }).attributes?.request?.http;
  t.is(http([0xc3, 0xa9])?.body, "\u00e9");
  t.is(http([0xc3, 0xa9])?.rawBody.length, 0);
  t.is(http([0xff])?.body, "");
  t.deepEqual([...(http([0xff])?.rawBody ?? [])], [0xff]);
});

test("toWireCheck() says -1 for a length that is not known", (t) => {
  t.is(sent({ bodyBytes: undefined }).attributes?.request?.http?.size, -1n);
});

const allowed: CheckAnswer = { kind: "allow", headers: [], remove: [], responseHeaders: [] };
const denied: CheckAnswer = { kind: "deny", status: 403, headers: [], body: "" };

test("fromWireCheck() allows by the status OK", (t) => {
  t.deepEqual(read({ status: { code: 0 } }), allowed);
  t.deepEqual(read({ httpResponse: { case: "okResponse", value: {} } }), allowed);
});

test("fromWireCheck() denies by every other status, by none, and by a contradiction", (t) => {
  t.deepEqual(read({}), denied);
  t.deepEqual(read({ status: { code: 7 } }), denied);
  t.deepEqual(read({ status: { code: 16 }, httpResponse: ok({}) }), denied);
  t.deepEqual(
    read({ status: { code: 0 }, httpResponse: { case: "deniedResponse", value: {} } }),
    denied,
  );
});

type OkResponse = Extract<
  NonNullable<Init<typeof CheckResponseSchema>["httpResponse"]>,
  { case: "okResponse" }
>;

function ok(value: OkResponse["value"]): OkResponse {
  return { case: "okResponse", value };
}

test("fromWireCheck() reads how the service wants to be refused", (t) => {
  const value = {
    status: { code: 401 },
    headers: [{ header: { key: "WWW-Authenticate", value: "Basic" } }],
    body: "no",
  };
  t.deepEqual(read({ status: { code: 16 }, httpResponse: { case: "deniedResponse", value } }), {
    kind: "deny",
    status: 401,
    headers: [{ name: "www-authenticate", value: "Basic", how: "set" }],
    body: "no",
  });
});

test("fromWireCheck() never refuses with a status of success", (t) => {
  for (const code of [0, 100, 200, 204, 600, -5]) {
    const value = { status: { code } };
    const answer = read({ status: { code: 7 }, httpResponse: { case: "deniedResponse", value } });
    t.deepEqual(answer, denied);
  }
});

test("fromWireCheck() reads what is to be done to headers", (t) => {
  const header = { key: "X-A", value: "1" };
  const headers = [
    { header },
    { header, append: true },
    { header, append: false },
    { header, appendAction: Action.ADD_IF_ABSENT },
    { header, appendAction: Action.OVERWRITE_IF_EXISTS_OR_ADD },
    { header, appendAction: Action.OVERWRITE_IF_EXISTS },
  ];
  const answer = read({ status: { code: 0 }, httpResponse: ok({ headers }) });
  t.deepEqual(
    answer.kind === "allow" && answer.headers.map(({ name, value, how }) => [name, value, how]),
    ["set", "add", "set", "add-if-absent", "set", "set-if-present"].map((how) => ["x-a", "1", how]),
  );
});

test("fromWireCheck() reads headers of the response, removals and octets", (t) => {
  const answer = read({
    status: { code: 0 },
    httpResponse: ok({
      headers: [{ header: { key: "x-a", rawValue: Uint8Array.of(0xe9) } }],
      headersToRemove: ["Authorization"],
      responseHeadersToAdd: [{ header: { key: "x-b", value: "\u00e9" } }],
    }),
  });
  t.deepEqual(answer, {
    kind: "allow",
    headers: [{ name: "x-a", value: "\u00e9", how: "set" }],
    remove: ["authorization"],
    responseHeaders: [{ name: "x-b", value: "\u00c3\u00a9", how: "set" }],
  });
});

test("fromWireCheck() does not let the service touch framing or the target", (t) => {
  const names = ["host", ":path", ":authority", "content-length", "transfer-encoding"];
  const headers = names.map((key) => ({ header: { key, value: "1" } }));
  const answer = read({
    status: { code: 0 },
    httpResponse: ok({ headers, headersToRemove: names, responseHeadersToAdd: headers }),
  });
  t.deepEqual(answer, allowed);
});

const unfit: readonly (readonly [why: string, value: OkResponse["value"]])[] = [
  ["a header without a name", { headers: [{ header: { value: "1" } }] }],
  ["a header with a line end", { headers: [{ header: { key: "x", value: "1\r\nhost: b" } }] }],
  ["a name with a space", { responseHeadersToAdd: [{ header: { key: "x a", value: "1" } }] }],
  ["a removal of nonsense", { headersToRemove: ["a b"] }],
];

for (const [why, value] of unfit) {
  test(`fromWireCheck() denies when the answer has ${why}`, (t) => {
    t.deepEqual(read({ status: { code: 0 }, httpResponse: ok(value) }), denied);
  });
}

test("fromWireCheck() denies when there are more changes than the limit", (t) => {
  const headers = (count: number) =>
    Array.from({ length: count }, () => ({ header: { key: "x", value: "1" } }));
  const kind = (count: number): string =>
    read({ status: { code: 0 }, httpResponse: ok({ headers: headers(count) }) }).kind;
  t.is(kind(maxHeaderChanges), "allow");
  t.is(kind(maxHeaderChanges + 1), "deny");
});

test("fromWireCheck() allows nothing by chance", (t) => {
  const octets = fc.uint8Array({ maxLength: 40 });
  fc.assert(
    fc.property(octets, fc.integer({ min: 1, max: 2 ** 31 - 1 }), (noise, code) => {
      const status = toBinary(
        CheckResponseSchema,
        create(CheckResponseSchema, { httpResponse: ok({}), status: { code } }),
      );
      const message = tryRead(Uint8Array.of(...status, 0xfa, 0x3f, noise.length, ...noise));
      t.is(message === undefined ? "deny" : fromWireCheck(message).kind, "deny");
    }),
  );
});

function tryRead(octets: Uint8Array<ArrayBuffer>) {
  try {
    return fromBinary(CheckResponseSchema, octets);
  } catch {
    return undefined;
  }
}
