/** What "ready" means, in one place: this sidecar can take the traffic of its pod and prove who it is. */
export type ReadinessFacts = {
  /** When the certificate ends, in milliseconds since 1970; undefined: there is none yet. */
  readonly certifiedUntilMs: number | undefined;
  readonly wallMs: number;
  /** Where the policy service is, as long as it has never been reached; undefined: it has been, and may be away since. */
  readonly unreachedPolicyService: string | undefined;
  /** Ports that stand in front of an application and have no policy yet. */
  readonly portsWithoutPolicy: readonly number[];
  readonly workers: number;
  /** Workers that have listened since the process started; one that is being replaced stays counted. */
  readonly workersStarted: number;
  /** Workers that listen now. */
  readonly workersListening: number;
  readonly draining: boolean;
};

/** What is missing, for people. Empty: ready. */
export function whatIsMissing(facts: ReadinessFacts): readonly string[] {
  const missing: string[] = [];
  if (facts.certifiedUntilMs === undefined) {
    missing.push("no certificate from the identity service yet");
  } else if (facts.certifiedUntilMs <= facts.wallMs) {
    missing.push("the certificate has expired");
  }
  // Without ports of its own the sidecar asks nothing before the first request, which would wait for the connection.
  if (facts.unreachedPolicyService !== undefined) {
    missing.push(
      `the policy service at "${facts.unreachedPolicyService}" has not been reached yet`,
    );
  }
  for (const port of facts.portsWithoutPolicy) {
    missing.push(`no policy for inbound port ${port} from the policy service yet`);
  }
  // One dead worker of several is no reason to leave the Service: the others accept in its place.
  if (facts.workersStarted < facts.workers) {
    missing.push(`${facts.workersStarted} of ${facts.workers} workers listen`);
  } else if (facts.workersListening === 0) {
    missing.push("no worker listens");
  }
  if (facts.draining) missing.push("the sidecar is shutting down");
  return missing;
}
