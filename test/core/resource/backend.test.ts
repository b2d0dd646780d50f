import test from "ava";
import { parseBackend } from "../../../src/core/resource/backend.ts";
import {
  edit,
  faultsOf,
  lambdaBackend,
  type Manifest,
  parsed,
  type Refusal,
  staticBackend,
  titleOf,
} from "./manifests.ts";

const older: Manifest = edit(lambdaBackend, "spec.aws", {
  region: "eu-central-1",
  secretRef: { name: "aws" },
  lambdaFunctions: [
    { lambdaFunctionName: "echo", logicalName: "first", qualifier: "1" },
    { lambdaFunctionName: "hello" },
  ],
});

test("parseBackend() reads hosts by name and by address, in one spelling", (t) => {
  const hosts = [
    { host: "API.example.com", port: 80 },
    { host: "2001:DB8:0::1", port: 8080 },
  ];
  const json = edit(staticBackend, "spec", { type: "Static", static: { hosts } });
  t.deepEqual(parsed(parseBackend(json)).target, {
    kind: "static",
    hosts: [
      { host: "api.example.com", port: 80 },
      { host: "2001:db8::1", port: 8080 },
    ],
    appProtocol: undefined,
  });
});

test("parseBackend() reads a function, and what it leaves out", (t) => {
  t.deepEqual(parsed(parseBackend(lambdaBackend)).target, {
    kind: "lambda",
    region: "us-east-1",
    accountId: "",
    endpointUrl: "",
    secretName: "aws",
    functions: [
      {
        logicalName: "",
        name: "hello",
        qualifier: "$LATEST",
        mode: "sync",
        payload: "envoy",
      },
    ],
  });
});

test("parseBackend() reads everything that a function can say", (t) => {
  const json = edit(lambdaBackend, "spec.aws.lambda", {
    functionName: "hello",
    accountId: "123456789012",
    qualifier: "live",
    invocationMode: "Async",
    endpointURL: "http://localhost:4566/",
    payloadTransformMode: "None",
  });
  t.like(parsed(parseBackend(json)).target, {
    accountId: "123456789012",
    endpointUrl: "http://localhost:4566",
    functions: [
      { logicalName: "", name: "hello", qualifier: "live", mode: "async", payload: "none" },
    ],
  });
});

test("parseBackend() reads the older spelling of functions", (t) => {
  t.like(parsed(parseBackend(older)).target, {
    region: "eu-central-1",
    secretName: "aws",
    functions: [
      { logicalName: "first", name: "echo", qualifier: "1", mode: "sync", payload: "envoy" },
      { logicalName: "hello", name: "hello", qualifier: "$LATEST", mode: "sync", payload: "envoy" },
    ],
  });
});

const blocks = "static, aws, dynamicForwardProxy, gcp, priorityGroups";

const refused: readonly (readonly [Manifest, Refusal])[] = [
  [staticBackend, ["spec", undefined, "spec: is required"]],
  [staticBackend, ["spec", {}, `spec: must have exactly one of ${blocks}, has 0`]],
  [staticBackend, ["spec.gcp", {}, `spec: must have exactly one of ${blocks}, has 2`]],
  [staticBackend, ["spec", { gcp: {} }, "spec.gcp: is not supported: use static or aws"]],
  [
    staticBackend,
    [
      "spec",
      { dynamicForwardProxy: {} },
      "spec.dynamicForwardProxy: is not supported: use static or aws",
    ],
  ],
  [
    staticBackend,
    ["spec", { priorityGroups: [] }, "spec.priorityGroups: is not supported: use static or aws"],
  ],
  [staticBackend, ["spec.type", "AWS", 'spec.type: must fit the block "static", is "AWS"']],
  [staticBackend, ["spec.static.hosts", [], "spec.static.hosts: must have at least one entry"]],
  [
    staticBackend,
    [
      "spec.static.hosts[0].host",
      "a b",
      'spec.static.hosts[0].host: must be an IP address or a DNS name, is "a b"',
    ],
  ],
  [
    staticBackend,
    [
      "spec.static.hosts[0].port",
      0,
      "spec.static.hosts[0].port: must be a whole number from 1 to 65535, is 0",
    ],
  ],
  [lambdaBackend, ["spec.aws.ec2", {}, "spec.aws.ec2: is not supported: use lambda"]],
  [
    lambdaBackend,
    [
      "spec.aws.lambdaFunctions",
      [{ lambdaFunctionName: "a" }],
      "spec.aws: must have exactly one of lambda and lambdaFunctions",
    ],
  ],
  [lambdaBackend, ["spec.aws.auth", undefined, "spec.aws.auth: is required"]],
  [
    lambdaBackend,
    [
      "spec.aws.auth.type",
      "AssumeRole",
      'spec.aws.auth.type: "AssumeRole" is not supported: use "Secret"',
    ],
  ],
  [
    lambdaBackend,
    ["spec.aws.secretRef", { name: "a" }, "spec.aws: must have at most one of auth and secretRef"],
  ],
  [
    lambdaBackend,
    [
      "spec.aws.lambda.functionName",
      "a/b",
      'spec.aws.lambda.functionName: must be a function name (1 to 140 of letters, digits, - and _), is "a/b"',
    ],
  ],
  [
    lambdaBackend,
    [
      "spec.aws.lambda.endpointURL",
      "http://h/path",
      'spec.aws.lambda.endpointURL: must be a URL like "https://host:port", is "http://h/path"',
    ],
  ],
  [
    lambdaBackend,
    [
      "spec.aws.lambda.accountId",
      "12",
      'spec.aws.lambda.accountId: must be an AWS account of 12 digits, is "12"',
    ],
  ],
  [
    edit(lambdaBackend, "spec.aws.accountId", "123456789012"),
    [
      "spec.aws.lambda.accountId",
      "210987654321",
      'spec.aws.lambda.accountId: must be the same as the accountId around it, "123456789012", is "210987654321"',
    ],
  ],
  [
    older,
    [
      "spec.aws.secretRef.namespace",
      "other",
      'spec.aws.secretRef.namespace: must be that of the Backend, "demo", is "other"',
    ],
  ],
  [
    older,
    [
      "spec.aws.lambdaFunctions[1].logicalName",
      "first",
      'spec.aws.lambdaFunctions[1].logicalName: must be unique, "first" stands twice',
    ],
  ],
];
for (const [at, [manifest, refusal]] of refused.entries()) {
  const [path, value, fault] = refusal;
  test(`parseBackend() (${at}) ${titleOf(refusal)}`, (t) => {
    t.true(faultsOf(parseBackend(edit(manifest, path, value))).includes(fault));
  });
}
