import test from "ava";
import type { HeaderValue } from "../../../src/core/model/filter.ts";
import { Secret } from "../../../src/core/std/secret.ts";
import {
  type SigningScope,
  sha256Hex,
  signV4,
  type UnsignedRequest,
} from "../../../src/edge/aws/sigv4.ts";

type Pairs = readonly (readonly [name: string, value: string])[];

function fields(pairs: Pairs): readonly HeaderValue[] {
  return pairs.map(([name, value]) => ({ name, value }));
}

function scopeOf(parts: Partial<SigningScope>, sessionToken = ""): SigningScope {
  const keys = {
    accessKey: new Secret("AKIDEXAMPLE"),
    secretKey: new Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
    sessionToken: new Secret(sessionToken),
  };
  const nowMs = Date.UTC(2015, 7, 30, 12, 36);
  return { region: "us-east-1", service: "service", keys, nowMs, ...parts };
}

function requestTo(target: string, headers: Pairs = [], body = ""): UnsignedRequest {
  const [path = "", query = ""] = target.split("?");
  const host = ["Host", "example.amazonaws.com"] as const;
  return {
    method: body === "" ? "GET" : "POST",
    path,
    query,
    headers: fields([host, ...headers]),
    bodySha256: sha256Hex(body),
  };
}

function authorization(request: UnsignedRequest, scope: SigningScope): string {
  const headers = signV4(request, scope);
  return headers.find(({ name }) => name === "authorization")?.value ?? "";
}

/** What is signed, and the signature that the AWS Signature Version 4 test suite gives for it. */
type Vector = readonly [request: UnsignedRequest, signed: string, signature: string];

const plain = "host;x-amz-date";

const published: Readonly<Record<string, Vector>> = {
  "get-vanilla": [
    requestTo("/"),
    plain,
    "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
  ],
  "get-unreserved": [
    requestTo("/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
    plain,
    "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
  ],
  "get-slashes": [
    requestTo("//example//"),
    plain,
    "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
  ],
  "get-vanilla-query-order-key-case": [
    requestTo("/?Param2=value2&Param1=value1"),
    plain,
    "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
  ],
  "get-vanilla-query-order-value": [
    requestTo("/?Param1=value2&Param1=value1"),
    plain,
    "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694",
  ],
  "get-vanilla-utf8-query": [
    requestTo("/?\u1234=bar"),
    plain,
    "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
  ],
  "get-header-value-order": [
    requestTo(
      "/",
      ["value4", "value1", "value3", "value2"].map((value) => ["My-Header1", value]),
    ),
    "host;my-header1;x-amz-date",
    "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
  ],
  "get-header-key-duplicate": [
    requestTo(
      "/",
      ["value2", "value2", "value1"].map((value) => ["My-Header1", value]),
    ),
    "host;my-header1;x-amz-date",
    "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
  ],
  "get-header-value-trim": [
    requestTo("/", [
      ["My-Header1", " value1"],
      ["My-Header2", ' "a   b   c"'],
    ]),
    "host;my-header1;my-header2;x-amz-date",
    "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
  ],
  "post-x-www-form-urlencoded": [
    requestTo("/", [["Content-Type", "application/x-www-form-urlencoded"]], "Param1=value1"),
    "content-type;host;x-amz-date",
    "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
  ],
};

for (const [name, [request, signed, signature]] of Object.entries(published)) {
  test(`signV4() signs ${name} of the AWS test suite`, (t) => {
    const credential = "AKIDEXAMPLE/20150830/us-east-1/service/aws4_request";
    t.is(
      authorization(request, scopeOf({})),
      `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${signed}, Signature=${signature}`,
    );
  });
}

const lambdaTime = { service: "lambda", nowMs: Date.UTC(2026, 0, 2, 3, 4, 5) };

type Invocation = {
  readonly request: UnsignedRequest;
  readonly region: string;
  readonly token: string;
  readonly signature: string;
};

// Made with botocore 1.44: SigV4Auth(Credentials(…), "lambda", region).add_auth(AWSRequest(…)), its clock set to 2026-01-02 03:04:05 UTC.
const byBotocore: Readonly<Record<string, Invocation>> = {
  "an invocation by ARN": {
    request: {
      method: "POST",
      path: "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-central-1%3A123456789012%3Afunction%3Ahello/invocations",
      query: "Qualifier=%24LATEST",
      headers: fields([
        ["host", "lambda.eu-central-1.amazonaws.com"],
        ["x-amz-invocation-type", "RequestResponse"],
        ["content-type", "application/json"],
      ]),
      bodySha256: sha256Hex('{"a":1}'),
    },
    region: "eu-central-1",
    token: "",
    signature: "a4aeb1923927e909dceb213081c6544820241acd39d066d47f91551181aa824c",
  },
  "an event with temporary keys": {
    request: {
      method: "POST",
      path: "/2015-03-31/functions/hello_World-1/invocations",
      query: "Qualifier=prod",
      headers: fields([
        ["host", "lambda.us-east-1.amazonaws.com"],
        ["x-amz-invocation-type", "Event"],
      ]),
      bodySha256: sha256Hex(""),
    },
    region: "us-east-1",
    token: "AQoDYXdzEPT//////////wEXAMPLE",
    signature: "16b000d401c88ab88538a8efe84a90e89dbc61cf4b33a0a3aa6f91c5410a0c4d",
  },
  "a call to another port with bare colons": {
    request: {
      method: "POST",
      path: "/2015-03-31/functions/arn:aws:lambda:us-east-1:000000000000:function:f/invocations",
      query: "Qualifier=%24LATEST",
      headers: fields([["Host", "127.0.0.1:4566"]]),
      bodySha256: sha256Hex("x"),
    },
    region: "us-east-1",
    token: "",
    signature: "ae92165063a8da00e52708f347af25049dd0f8b96dc015f8f9acdaa156c59ae1",
  },
};

for (const [name, { request, region, token, signature }] of Object.entries(byBotocore)) {
  test(`signV4() signs ${name} as botocore does`, (t) => {
    const text = authorization(request, scopeOf({ ...lambdaTime, region }, token));
    t.is(text.split("Signature=")[1], signature);
  });
}

test("signV4() adds the time and the token of temporary keys, and signs them", (t) => {
  const headers = signV4(requestTo("/"), scopeOf(lambdaTime, "token"));
  t.deepEqual(headers.slice(0, 2), [
    { name: "x-amz-date", value: "20260102T030405Z" },
    { name: "x-amz-security-token", value: "token" },
  ]);
  t.regex(headers[2]?.value ?? "", /SignedHeaders=host;x-amz-date;x-amz-security-token,/);
});

test("signV4() signs the path as it is on the wire, encoded once more", (t) => {
  const sign = (target: string): string => authorization(requestTo(target), scopeOf({}));
  t.not(sign("/a%2Fb"), sign("/a/b"));
  t.is(sign("/a/./c/../b"), sign("/a/b"));
});

test("signV4() signs a query by what it means", (t) => {
  const sign = (target: string): string => authorization(requestTo(target), scopeOf({}));
  t.is(sign("/?a=%7E&b"), sign("/?b=&a=~"));
  t.is(sign("/?a=%2a"), sign("/?a=*"));
  t.not(sign("/?a=%"), sign("/?a="));
});

test("signV4() never shows the secret key", (t) => {
  const text = JSON.stringify(signV4(requestTo("/"), scopeOf({})));
  t.false(text.includes("wJalrXUtnFEMI"));
});
