import test from "ava";
import { grpcCode } from "../../../src/core/model/grpc-status.ts";
import {
  codeName,
  describeFailure,
  grpcFailure,
  toFailure,
} from "../../../src/edge/grpc/status.ts";

test("codeName() spells every code of the specification", (t) => {
  for (const [name, code] of Object.entries(grpcCode)) {
    t.is(codeName(code).replaceAll("_", "").toLowerCase(), name.toLowerCase());
  }
});

test("codeName() gives a code that nobody knows its number", (t) => {
  t.is(codeName(99), "CODE_99");
  t.is(codeName(-1), "CODE_-1");
});

test("toFailure() reads the code and the details of a gRPC error", (t) => {
  const error = Object.assign(new Error("5 NOT_FOUND: unknown target"), {
    code: 5,
    details: "unknown target",
  });
  t.deepEqual(toFailure(error), { code: grpcCode.notFound, message: "unknown target" });
});

test("toFailure() calls everything else UNKNOWN", (t) => {
  const system = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
  t.deepEqual(toFailure(system), { code: grpcCode.unknown, message: "connect ECONNREFUSED" });
  t.deepEqual(toFailure("text"), { code: grpcCode.unknown, message: "text" });
  t.deepEqual(toFailure(null), { code: grpcCode.unknown, message: "null" });
});

test("describeFailure() is one line, without a colon when there is no text", (t) => {
  t.is(describeFailure(grpcFailure(5, "unknown target")), "NOT_FOUND: unknown target");
  t.is(describeFailure(grpcFailure(14, "")), "UNAVAILABLE");
});
