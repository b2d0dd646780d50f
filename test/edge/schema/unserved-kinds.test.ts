import test from "ava";
import { readObject } from "../../../src/edge/files/read-object.ts";
import { definitionSchemas } from "./definitions-folder.ts";

const schemas = definitionSchemas();

for (const [apiVersion, kind, severity, words] of [
  ["gateway.networking.k8s.io/v1", "BackendTLSPolicy", "unserved", "as if it were not there"],
  ["gateway.networking.k8s.io/v1alpha3", "BackendTLSPolicy", "unserved", "mutual TLS"],
  ["gateway.networking.x-k8s.io/v1alpha1", "XBackend", "unserved", "answers 500"],
  ["gateway.kgateway.dev/v1alpha1", "TrafficPolicy", "unserved", "into the HTTPRoute"],
  ["multicluster.x-k8s.io/v1alpha1", "ServiceImport", "unserved", "not accepted"],
  ["gateway.networking.k8s.io/v1beta1", "ReferenceGrant", "ignored", "not known to Weft"],
  ["gateway.networking.k8s.io/v1", "Gateway", "ignored", "not known to Weft"],
] as const) {
  test(`insteadOf() makes ${kind} of ${apiVersion} ${severity}, which hides nothing else`, (t) => {
    const reading = readObject({ apiVersion, kind, metadata: { name: "x" } }, schemas);
    t.is(reading.state, "foreign");
    t.is(reading.faults.length, 1);
    t.is(reading.faults[0]?.severity, severity);
    t.true(reading.faults[0]?.reason.includes(words), reading.faults[0]?.reason);
  });
}
