import { type Field, quote } from "./field.ts";
import {
  everyRequest,
  type GrpcMethodMatch,
  type HttpRouteMatch,
  readHeaders,
} from "./http-match.ts";

/** Gateway API GRPCMethodMatch: a name of protobuf; a service may begin with a dot. */
const serviceName = /^\.?[A-Za-z_][A-Za-z_0-9]*(\.[A-Za-z_][A-Za-z_0-9]*)*$/;
const methodName = /^[A-Za-z_][A-Za-z_0-9]*$/;

const everyRpc: GrpcMethodMatch = { type: "Exact", service: "", method: "" };

/** Gateway API GRPCRouteRule: without matches a rule takes every gRPC request. */
export function readGrpcMatches(field: Field): readonly HttpRouteMatch[] {
  const items = field.items();
  return items.length === 0 ? [{ ...everyRequest, rpc: everyRpc }] : items.map(readMatch);
}

function readMatch(field: Field): HttpRouteMatch {
  return {
    ...everyRequest,
    rpc: readMethod(field.at("method")),
    headers: readHeaders(field.at("headers")),
  };
}

function readMethod(field: Field): GrpcMethodMatch {
  if (!field.isPresent) return everyRpc;
  const type = field.at("type").choice(["Exact", "RegularExpression"] as const, "Exact");
  const service = field.at("service").optionalText() ?? "";
  const method = field.at("method").optionalText() ?? "";
  if (service === "" && method === "") field.fault("must have a service, a method or both");
  if (type === "Exact") {
    checkName(field.at("service"), service, serviceName);
    checkName(field.at("method"), method, methodName);
  }
  return { type, service, method };
}

function checkName(field: Field, name: string, pattern: RegExp): void {
  if (name === "" || pattern.test(name)) return;
  field.fault(`must be a name of protobuf without "/", is ${quote(name)}`);
}
