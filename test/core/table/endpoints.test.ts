import test from "ava";
import type { Endpoint } from "../../../src/core/model/endpoint.ts";
import { endpointTable } from "../../../src/core/table/endpoints.ts";

test("endpointTable() keeps an empty Service apart from one that is not there", (t) => {
  t.deepEqual(endpointTable({ exists: true, endpoints: [] }), { exists: true, endpoints: [] });
  t.deepEqual(endpointTable({ exists: false, endpoints: [] }), { exists: false, endpoints: [] });
});

test("endpointTable() keeps the endpoints in their order", (t) => {
  const endpoint = (ip: string): Endpoint => ({
    ip,
    port: 80,
    weight: 1,
    tls: undefined,
    inboundPort: 0,
    hint: "none",
    labels: {},
  });
  const endpoints = [endpoint("10.0.0.2"), endpoint("10.0.0.1")];
  t.deepEqual(endpointTable({ exists: true, endpoints }).endpoints, endpoints);
});
