/** What Linkerd's contract lacks of backends: those outside of the mesh, and what each speaks (`weft.v1`). */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { BackendProtocol, LambdaFunction, StaticHost } from "../model/backend.ts";
import { isDnsName } from "../std/dns-name.ts";
import { parseIp } from "../std/ip.ts";
import { Secret } from "../std/secret.ts";
import { report, type Trace, under } from "./decode.ts";
import type {
  BackendProtocolSchema,
  LambdaFunctionSchema,
  StaticHostsSchema,
  LambdaFunction as WireLambda,
  BackendProtocol as WireProtocol,
  StaticHosts as WireStaticHosts,
} from "./gen/weft/extensions_pb.ts";

export function toWireStatic(
  hosts: readonly StaticHost[],
): MessageInitShape<typeof StaticHostsSchema> {
  return { hosts: hosts.map(({ host, port }) => ({ host, port })) };
}

/** Undefined: one of the hosts cannot be used, and the others were not to have its share. */
export function fromWireStatic(
  { hosts }: WireStaticHosts,
  trace: Trace,
): readonly StaticHost[] | undefined {
  if (hosts.length === 0) return void report(trace, "has no hosts");
  const read: StaticHost[] = [];
  for (const [at, { host, port }] of hosts.entries()) {
    const here = under(trace, "hosts", at);
    const name = host.toLowerCase();
    if (parseIp(name) === undefined && !isDnsName(name)) {
      return void report(here, "must be an IP address or a DNS name");
    }
    if (port < 1 || port > 65_535) return void report(here, `must have a port, not ${port}`);
    read.push({ host: name, port });
  }
  return read;
}

/** The one place where the keys leave the control plane: for the sidecar that signs with them. */
export function toWireLambda(
  lambda: LambdaFunction,
): MessageInitShape<typeof LambdaFunctionSchema> {
  return {
    region: lambda.region,
    accountId: lambda.accountId,
    name: lambda.name,
    qualifier: lambda.qualifier,
    async: lambda.mode === "async",
    rawPayload: lambda.payload === "none",
    endpointUrl: lambda.endpointUrl,
    accessKey: lambda.accessKey.reveal(),
    secretKey: lambda.secretKey.reveal(),
    sessionToken: lambda.sessionToken.reveal(),
  };
}

/** What a URL or a header is made of must not end it. */
const shapes: readonly (readonly [keyof WireLambda, RegExp])[] = [
  ["region", /^[a-z0-9-]{1,64}$/],
  ["accountId", /^([0-9]{12})?$/],
  ["name", /^[A-Za-z0-9_-]{1,140}$/],
  ["qualifier", /^[A-Za-z0-9$_-]{0,128}$/],
  ["endpointUrl", /^(https?:\/\/[\u0021-\u007e]+)?$/],
  ["accessKey", /^[\u0021-\u007e]+$/],
  ["secretKey", /^[\u0021-\u007e]+$/],
  ["sessionToken", /^[\u0021-\u007e]*$/],
];

/** Undefined: it cannot be called. What is said about it never quotes a value, since some are keys. */
export function fromWireLambda(message: WireLambda, trace: Trace): LambdaFunction | undefined {
  for (const [field, shape] of shapes) {
    if (!shape.test(String(message[field]))) {
      return void report(under(trace, field), "is missing or cannot be used");
    }
  }
  const { region, accountId, name, qualifier, endpointUrl } = message;
  return {
    region,
    accountId,
    name,
    qualifier,
    mode: message.async ? "async" : "sync",
    payload: message.rawPayload ? "none" : "envoy",
    endpointUrl,
    accessKey: new Secret(message.accessKey),
    secretKey: new Secret(message.secretKey),
    sessionToken: new Secret(message.sessionToken),
  };
}

export function toWireProtocol(
  protocol: BackendProtocol,
): MessageInitShape<typeof BackendProtocolSchema> {
  return { kind: { case: protocol, value: {} } };
}

/** Undefined: what the policy says. A protocol that we do not know opens nothing and refuses nothing, for the sidecar can still ask the endpoint. */
export function fromWireProtocol(
  message: WireProtocol | undefined,
  trace: Trace,
): BackendProtocol | undefined {
  if (message === undefined) return undefined;
  return message.kind.case ?? void report(trace, "is of no known kind and is ignored");
}
