import { create } from "@bufbuild/protobuf";
import test from "ava";
import { fromWireBackend } from "../../../src/core/wire/backend.ts";
import { decode } from "../../../src/core/wire/decode.ts";
import { BackendSchema } from "../../../src/core/wire/gen/linkerd/outbound_pb.ts";
import type {
  LambdaFunctionSchema,
  StaticHostsSchema,
} from "../../../src/core/wire/gen/weft/extensions_pb.ts";
import type { Init } from "./init.ts";

type Kind = NonNullable<Init<typeof BackendSchema>["kind"]>;

const metadata = { kind: { case: "default" as const, value: "a" } };

const lambda: Init<typeof LambdaFunctionSchema> = {
  region: "us-east-1",
  name: "hello",
  accessKey: "AKIDEXAMPLE",
  secretKey: "secret-in-the-clear",
};

function read(kind: Kind): { kind: string; refusal: string | undefined; text: string } {
  const message = create(BackendSchema, { metadata, kind });
  const { value, faults } = decode((trace) => fromWireBackend(message, trace));
  const { backend, refusal } = value;
  return { kind: backend.dispatch.kind, refusal, text: JSON.stringify({ value, faults }) };
}

const fails = test.macro({
  exec: (t, kind: Kind) => {
    const { kind: dispatch, refusal } = read(kind);
    t.is(dispatch, "fail");
    t.truthy(refusal);
  },
  title: (given) => `fromWireBackend() fails ${given}`,
});

const hosts = (...all: NonNullable<Init<typeof StaticHostsSchema>["hosts"]>): Kind => ({
  case: "static",
  value: { hosts: all },
});

test("static hosts that are none", fails, hosts());
test("a static host without a name", fails, hosts({ port: 80 }));
test("a static host whose name is none", fails, hosts({ host: "a b", port: 80 }));
test("a static host without a port", fails, hosts({ host: "a" }));
test("a static host beyond the ports", fails, hosts({ host: "a", port: 65_536 }));
test(
  "static hosts of which one is broken",
  fails,
  hosts({ host: "a", port: 80 }, { host: "", port: 80 }),
);

const damages: readonly Init<typeof LambdaFunctionSchema>[] = [
  { region: "" },
  { region: "evil.example/" },
  { accountId: "12" },
  { name: "" },
  { name: "../other" },
  { qualifier: "a b" },
  { endpointUrl: "ftp://a" },
  { accessKey: "" },
  { accessKey: "a\r\nb" },
  { secretKey: "" },
  { sessionToken: "a\r\nb" },
];
for (const damage of damages) {
  test(`a function with ${JSON.stringify(damage)}`, fails, {
    case: "lambda",
    value: { ...lambda, ...damage },
  });
}

test("fromWireBackend() calls a function whose parts are usable, and never shows its keys", (t) => {
  const usable = read({ case: "lambda", value: lambda });
  t.is(usable.refusal, undefined);
  t.is(usable.kind, "lambda");
  const broken = read({ case: "lambda", value: { ...lambda, region: "" } });
  for (const { text } of [usable, broken]) t.notRegex(text, /in-the-clear|AKIDEXAMPLE/);
});

test("fromWireBackend() takes addresses and names in any case", (t) => {
  const message = create(BackendSchema, {
    metadata,
    kind: hosts({ host: "Example.COM", port: 80 }, { host: "2001:db8::1", port: 443 }),
  });
  const { backend } = decode((trace) => fromWireBackend(message, trace)).value;
  t.deepEqual(backend.dispatch, {
    kind: "static",
    hosts: [
      { host: "example.com", port: 80 },
      { host: "2001:db8::1", port: 443 },
    ],
  });
});
