import test from "ava";
import { type ReadinessFacts, whatIsMissing } from "../../src/sidecar/readiness.ts";

const ready: ReadinessFacts = {
  certifiedUntilMs: 2,
  wallMs: 1,
  unreachedPolicyService: undefined,
  portsWithoutPolicy: [],
  workers: 2,
  workersStarted: 2,
  workersListening: 2,
  draining: false,
};

const cases = test.macro({
  exec: (t, facts: Partial<ReadinessFacts>, missing: readonly string[]) => {
    t.deepEqual(whatIsMissing({ ...ready, ...facts }), missing);
  },
  title: (given) => `whatIsMissing() ${given}`,
});
test("is empty when everything is there", cases, {}, []);
test("names a missing certificate", cases, { certifiedUntilMs: undefined }, [
  "no certificate from the identity service yet",
]);
test("names an expired certificate", cases, { certifiedUntilMs: 1 }, [
  "the certificate has expired",
]);
test(
  "names a policy service that was never reached",
  cases,
  { unreachedPolicyService: "10.0.0.1:8090" },
  ['the policy service at "10.0.0.1:8090" has not been reached yet'],
);
test("names each port without policy", cases, { portsWithoutPolicy: [80, 8080] }, [
  "no policy for inbound port 80 from the policy service yet",
  "no policy for inbound port 8080 from the policy service yet",
]);
test(
  "names workers that have not listened yet",
  cases,
  { workersStarted: 1, workersListening: 1 },
  ["1 of 2 workers listen"],
);
test("is empty while one of several workers is replaced", cases, { workersListening: 1 }, []);
test("names the lack of any worker", cases, { workersListening: 0 }, ["no worker listens"]);
test("tells of a shutdown", cases, { draining: true }, ["the sidecar is shutting down"]);
