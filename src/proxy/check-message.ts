/** The messages of Envoy's authorization service as gRPC frames them, in a file of their own because few workers ask over gRPC. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type AuthCheck,
  type CheckAnswer,
  fromWireCheck,
  toWireCheck,
} from "../core/wire/external-auth.ts";
import {
  Authorization,
  CheckRequestSchema,
  CheckResponseSchema,
} from "../core/wire/gen/envoy/ext_authz_pb.ts";
import type { AuthAnswer } from "./auth-connections.ts";

export const checkPath: string = `/${Authorization.typeName}/${Authorization.method.check.name}`;

/** gRPC over HTTP/2, "Length-Prefixed-Message": not compressed, and its length. */
const grpcPrefixBytes = 5;

export function writeCheck(check: AuthCheck): Buffer {
  const message = toBinary(CheckRequestSchema, create(CheckRequestSchema, toWireCheck(check)));
  const prefix = Buffer.alloc(grpcPrefixBytes);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** Text says why it is no verdict. */
export function readCheck({
  status,
  headers,
  body,
}: Extract<AuthAnswer, { kind: "answer" }>): CheckAnswer | string {
  const code = headers.find(({ name }) => name === "grpc-status")?.value;
  if (status !== 200) return `it answered ${status} instead of a verdict`;
  if (code !== "0") return `it failed with gRPC status ${code ?? "none"}`;
  const isOne =
    body.length >= grpcPrefixBytes &&
    body[0] === 0 &&
    body.readUInt32BE(1) === body.length - grpcPrefixBytes;
  if (!isOne) return "its answer is not one message";
  try {
    return fromWireCheck(
      fromBinary(CheckResponseSchema, Uint8Array.from(body.subarray(grpcPrefixBytes))),
    );
  } catch {
    return "its answer cannot be read";
  }
}
