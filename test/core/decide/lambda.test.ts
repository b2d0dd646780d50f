import test from "ava";
import fc from "fast-check";
import {
  invocationOf,
  type LambdaRequest,
  maxAnswerHeaders,
  unwrapAnswer,
  wrapRequest,
} from "../../../src/core/decide/lambda.ts";
import type { LambdaFunction } from "../../../src/core/model/backend.ts";
import { Secret } from "../../../src/core/std/secret.ts";

const fn: LambdaFunction = {
  region: "eu-central-1",
  accountId: "",
  name: "hello_World-1",
  qualifier: "$LATEST",
  mode: "sync",
  payload: "envoy",
  endpointUrl: "",
  accessKey: new Secret("AKIDEXAMPLE"),
  secretKey: new Secret("secret"),
  sessionToken: new Secret(""),
};

test("invocationOf() names the function, the qualifier and the type", (t) => {
  t.deepEqual(invocationOf(fn), {
    origin: "https://lambda.eu-central-1.amazonaws.com",
    path: "/2015-03-31/functions/hello_World-1/invocations",
    query: "Qualifier=%24LATEST",
    headers: [{ name: "x-amz-invocation-type", value: "RequestResponse" }],
  });
});

test("invocationOf() names a function of an account by its ARN", (t) => {
  const { path } = invocationOf({ ...fn, accountId: "123456789012" });
  const arn = "arn%3Aaws%3Alambda%3Aeu-central-1%3A123456789012%3Afunction%3Ahello_World-1";
  t.is(path, `/2015-03-31/functions/${arn}/invocations`);
  const china = invocationOf({ ...fn, accountId: "1", region: "cn-north-1" });
  t.regex(china.path, /arn%3Aaws-cn%3Alambda%3Acn-north-1%3A/);
  t.is(china.origin, "https://lambda.cn-north-1.amazonaws.com.cn");
  t.regex(invocationOf({ ...fn, accountId: "1", region: "us-gov-west-1" }).path, /aws-us-gov/);
});

test("invocationOf() does not wait in the async mode", (t) => {
  t.is(invocationOf({ ...fn, mode: "async" }).headers[0]?.value, "Event");
});

test("invocationOf() takes another address, and no qualifier", (t) => {
  const local = invocationOf({ ...fn, endpointUrl: "http://127.0.0.1:4566/", qualifier: "" });
  t.is(local.origin, "http://127.0.0.1:4566");
  t.is(local.query, "");
});

const decoder = new TextDecoder("utf-8", { fatal: true });

function decodeUtf8(octets: Uint8Array): string | undefined {
  try {
    return decoder.decode(octets);
  } catch {
    return undefined;
  }
}

function wrap(request: Partial<LambdaRequest>): Record<string, unknown> {
  const whole = { method: "GET", path: "/", query: "", headers: [], body: new Uint8Array() };
  return JSON.parse(wrapRequest({ ...whole, ...request }, decodeUtf8));
}

test("wrapRequest() writes the JSON of Envoy", (t) => {
  const headers = [
    { name: "host", value: "a" },
    { name: "x-a", value: "1" },
    { name: "x-a", value: "2" },
  ];
  t.deepEqual(wrap({ method: "POST", path: "/a%20b", query: "q=1&r", headers }), {
    raw_path: "/a%20b?q=1&r",
    method: "POST",
    headers: { host: "a", "x-a": "1,2" },
    query_string_parameters: { q: "1", r: "" },
    body: "",
    is_base64_encoded: false,
  });
});

test("wrapRequest() takes the last of several parameters of one name, as it came", (t) => {
  const { query_string_parameters: found } = wrap({ query: "a=1&b=%2F&a=2&=3&&c=d=e" });
  t.deepEqual(found, { a: "2", b: "%2F", "": "3", c: "d=e" });
});

test("wrapRequest() is not led astray by names that objects have", (t) => {
  const wrapped = JSON.stringify(wrap({ query: "__proto__=1&constructor=2" }));
  t.regex(wrapped, /"__proto__":"1","constructor":"2"/);
});

const encodes = test.macro({
  exec: (t, type: string | undefined, octets: readonly number[], base64: boolean) => {
    const headers = type === undefined ? [] : [{ name: "content-type", value: type }];
    const { body, is_base64_encoded: encoded } = wrap({ headers, body: Uint8Array.from(octets) });
    t.is(encoded, base64);
    const buffer = Buffer.from(octets);
    t.is(body, base64 ? buffer.toString("base64") : buffer.toString());
  },
  title: (_given, type: string | undefined, octets: readonly number[], base64: boolean) =>
    `wrapRequest() writes [${octets.join(" ")}] of type ${type} as ${base64 ? "base64" : "text"}`,
});

const text = [...Buffer.from("é{}")];
test(encodes, undefined, text, false);
test(encodes, "text/html; charset=utf-8", text, false);
test(encodes, "application/json", text, false);
test(encodes, "Application/JSON;v=1", text, false);
test(encodes, "application/xml", text, false);
test(encodes, "application/javascript", text, false);
test(encodes, "application/jsonlines", text, true);
test(encodes, "application/octet-stream", text, true);
test(encodes, "image/png", [0x89, 0x50], true);
test(encodes, "text/plain", [0xff, 0xfe], true);
test(encodes, undefined, [0xc3], true);

test("unwrapAnswer() reads status, headers, cookies and body", (t) => {
  const answer = {
    statusCode: 201,
    headers: { "X-A": "1", "content-length": "999", connection: "close" },
    multiValueHeaders: { "x-b": ["1", "2"] },
    cookies: ["a=1; HttpOnly", "b=2"],
    body: "é",
    isBase64Encoded: false,
  };
  t.deepEqual(unwrapAnswer(JSON.stringify(answer)), {
    kind: "response",
    status: 201,
    headers: [
      { name: "x-a", value: "1" },
      { name: "x-b", value: "1" },
      { name: "x-b", value: "2" },
      { name: "set-cookie", value: "a=1; HttpOnly" },
      { name: "set-cookie", value: "b=2" },
    ],
    body: "é",
  });
});

test("unwrapAnswer() reads the spelling of Envoy", (t) => {
  const answer = { status_code: 404, is_base64_encoded: true, body: "/wA=" };
  const body = Uint8Array.of(255, 0);
  const expected = { kind: "response" as const, status: 404, headers: [], body };
  t.deepEqual(unwrapAnswer(JSON.stringify(answer)), expected);
});

test("unwrapAnswer() takes 200 and an empty body when nothing is said", (t) => {
  const expected = { kind: "response" as const, status: 200, headers: [], body: "" };
  t.deepEqual(unwrapAnswer("{}"), expected);
  t.deepEqual(unwrapAnswer('{"headers":null,"body":null,"cookies":null}'), expected);
});

test("unwrapAnswer() prefers the list of a header to its single value", (t) => {
  const answer = unwrapAnswer('{"headers":{"X-A":"1"},"multiValueHeaders":{"x-a":["2",3]}}');
  t.deepEqual(answer.kind === "response" && answer.headers, [
    { name: "x-a", value: "2" },
    { name: "x-a", value: "3" },
  ]);
});

for (const payload of [
  "",
  "null",
  "[]",
  '"ok"',
  "{",
  '{"statusCode":"200"}',
  '{"statusCode":200.5}',
  '{"statusCode":101}',
  '{"statusCode":600}',
  '{"headers":[]}',
  '{"headers":{"x-a":{}}}',
  '{"headers":{"x a":"1"}}',
  '{"headers":{"x-a":"1\\r\\nset-cookie: b"}}',
  '{"headers":{"x-a":"\\u20ac"}}',
  '{"multiValueHeaders":{"x-a":"1"}}',
  '{"cookies":{}}',
  '{"cookies":["a\\n"]}',
  '{"body":{}}',
  '{"body":"?","isBase64Encoded":true}',
]) {
  test(`unwrapAnswer() says what is broken about ${payload}`, (t) => {
    const answer = unwrapAnswer(payload);
    t.regex(answer.kind === "broken" ? answer.reason : "", /^the answer of the function /);
  });
}

test("unwrapAnswer() refuses more headers than the limit", (t) => {
  const answer = (count: number): string =>
    unwrapAnswer(JSON.stringify({ cookies: Array.from({ length: count }, () => "a=b") })).kind;
  t.is(answer(maxAnswerHeaders), "response");
  t.is(answer(maxAnswerHeaders + 1), "broken");
});

test("unwrapAnswer() answers any JSON, and only with headers that can be written", (t) => {
  const names = fc.constantFrom("statusCode", "headers", "cookies", "multiValueHeaders", "body");
  const values = fc.jsonValue({ maxDepth: 3 });
  fc.assert(
    fc.property(fc.dictionary(names, values), fc.string(), (object, noise) => {
      unwrapAnswer(noise);
      const answer = unwrapAnswer(JSON.stringify(object));
      if (answer.kind === "broken") return;
      t.true(answer.headers.every(({ value }) => !/[\r\n\0]/.test(value)));
      t.true(answer.status >= 200 && answer.status <= 599);
    }),
    { numRuns: 500 },
  );
});
