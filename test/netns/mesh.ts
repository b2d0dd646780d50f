/** A mesh in network namespaces: the control plane in pods of its own, and in each other pod a sidecar under its own user. */
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { identityName } from "../../src/core/model/identity.ts";
import { signServiceAccountToken } from "../../src/edge/x509/token-signer.ts";
import { must } from "./command.ts";
import { TestNode } from "./node.ts";
import { namespace, type Pod, weft } from "./pod.ts";
import { podResource, serviceResources } from "./resources.ts";
import type { Running } from "./running.ts";
import type { ClusterService } from "./services.ts";

const ports = { policy: 8090, destination: 8086, identity: 8084 } as const;
const trustDomain = "cluster.local";
const controlNamespace = "weft";
const tokenAudience = "identity.l5d.io";
const tokenLifetimeSeconds = 3_600;
const relay = fileURLToPath(new URL("control-relay.ts", import.meta.url));

export type SidecarOptions = {
  /** Explicit mode, ports of the application: it listens on 127.0.0.1, the sidecar on the pod's address. */
  readonly forwards?: readonly number[];
  /** Redirect rules lead all connections of the pod through the sidecar. */
  readonly isTransparent?: boolean;
  readonly env?: Readonly<Record<string, string>>;
};

export class TestNetnsMesh implements AsyncDisposable {
  readonly node: TestNode;
  /** Faults of the network are put between these and others. */
  readonly policyPod: Pod;
  readonly identityPod: Pod;
  readonly policy: Running;
  readonly identity: Running;
  readonly #tokenKey: KeyObject;

  private constructor(
    node: TestNode,
    pods: { readonly policy: Pod; readonly identity: Pod },
    tokenKey: KeyObject,
  ) {
    this.node = node;
    this.policyPod = pods.policy;
    this.identityPod = pods.identity;
    this.#tokenKey = tokenKey;
    const { folder } = node;
    const shared = {
      WEFT_IDENTITY_TRUST_DOMAIN: trustDomain,
      WEFT_CONTROL_NAMESPACE: controlNamespace,
      WEFT_ADMIN_LISTEN_ADDR: "[::]:9990",
    };
    this.identity = pods.identity.start("root", [...weft, "identity"], {
      ...shared,
      WEFT_IDENTITY_LISTEN_ADDR: `[::]:${ports.identity}`,
      WEFT_IDENTITY_ISSUER_DIR: path.join(folder, "issuer"),
      WEFT_IDENTITY_TOKEN_KEYS_FILE: path.join(folder, "signer.pub"),
    });
    const source = `files:${path.join(folder, "policy")}`;
    this.policy = pods.policy.start("root", [...weft, "policy", "--source", source], {
      ...shared,
      WEFT_POLICY_LISTEN_ADDR: `[::]:${ports.policy}`,
      WEFT_DESTINATION_LISTEN_ADDR: `[::]:${ports.destination}`,
    });
  }

  static async start(): Promise<TestNetnsMesh> {
    const node = await TestNode.start();
    mkdirSync(path.join(node.folder, "policy"));
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const pem = publicKey.export({ type: "spki", format: "pem" }).toString();
    writeFileSync(path.join(node.folder, "signer.pub"), pem);
    const policy = await node.addPod("policy");
    const identity = await node.addPod("identity");
    const mesh = new TestNetnsMesh(node, { policy, identity }, privateKey);
    mesh.declare("namespace", [
      { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } },
    ]);
    await Promise.all([mesh.policy.untilSays(/"serving"/), mesh.identity.untilSays(/"serving"/)]);
    // The CA's folder is its own; sidecars of other users are given the certificate, as a ConfigMap gives it to pods.
    const anchors = await must("cat", [path.join(node.folder, "issuer", "ca.crt")]);
    writeFileSync(path.join(node.folder, "anchors.pem"), anchors);
    return mesh;
  }

  /** Writes resources into a file of the policy folder, all at once. */
  declare(name: string, resources: readonly object[]): void {
    const text = resources.map((resource) => `${JSON.stringify(resource)}\n`).join("---\n");
    const draft = path.join(this.node.folder, "draft");
    writeFileSync(draft, text);
    renameSync(draft, path.join(this.node.folder, "policy", `${name}.yaml`));
  }

  async addPod(name: string, containerPorts: readonly number[] = []): Promise<Pod> {
    const pod = await this.node.addPod(name);
    this.declare(`pod-${name}`, [podResource(pod, containerPorts)]);
    return pod;
  }

  /** `families` are those of the endpoints. */
  async addService(
    service: Omit<ClusterService, "ip4" | "ip6" | "namespace">,
    families: readonly (4 | 6)[] = [4, 6],
  ): Promise<ClusterService> {
    const added = await this.node.addService({ ...service, namespace });
    this.declare(`service-${service.name}`, serviceResources(added, families));
    return added;
  }

  /** The sidecar of a pod. Resolves when `weft await` says so. */
  async startSidecar(pod: Pod, options: SidecarOptions = {}): Promise<Running> {
    const { forwards = [], isTransparent = false, env = {} } = options;
    const { folder } = this.node;
    const relayed = [
      `${this.policyPod.ip4}:${ports.policy}`,
      `${this.policyPod.ip4}:${ports.destination}`,
      `${this.identityPod.ip4}:${ports.identity}`,
    ];
    await pod.start("sidecar", [process.execPath, relay, ...relayed]).untilSays(/relaying/);
    if (isTransparent) {
      const rules = await pod.init();
      if (rules.code !== 0) throw new Error(`No redirect rules for ${pod.name}: ${rules.err}`);
    }
    const tokenFile = path.join(folder, `${pod.name}.jwt`);
    writeFileSync(tokenFile, this.#token(pod));
    const sidecar = pod.start("sidecar", [...weft, "sidecar"], {
      WEFT_POLICY_SVC_ADDR: `127.0.0.1:${ports.policy}`,
      WEFT_DESTINATION_SVC_ADDR: `127.0.0.1:${ports.destination}`,
      WEFT_IDENTITY_SVC_ADDR: `127.0.0.1:${ports.identity}`,
      WEFT_POLICY_WORKLOAD: JSON.stringify({ ns: namespace, pod: pod.name }),
      WEFT_IDENTITY_LOCAL_NAME: podIdentity(pod),
      WEFT_IDENTITY_TRUST_ANCHORS_FILE: path.join(folder, "anchors.pem"),
      WEFT_IDENTITY_TOKEN_FILE: tokenFile,
      WEFT_INBOUND_FORWARDS: forwards
        .map((port) => `${pod.ip4}:${port}=127.0.0.1:${port}`)
        .join(","),
      ...(isTransparent ? { WEFT_INBOUND_IPS: `${pod.ip4},${pod.ip6}` } : {}),
      WEFT_WORKERS: "1",
      WEFT_SHUTDOWN_GRACE_PERIOD: "5s",
      ...env,
    });
    const ready = pod.exec("application", [...weft, "await", "--timeout", "50s"]);
    const first = await Promise.race([ready, sidecar.ended]);
    if (typeof first !== "object" || first.code !== 0) {
      throw new Error(`The sidecar of ${pod.name} is not ready: ${sidecar.output}`);
    }
    return sidecar;
  }

  #token(pod: Pod): string {
    return signServiceAccountToken({
      key: this.#tokenKey,
      namespace,
      serviceAccount: pod.name,
      audience: tokenAudience,
      lifetimeSeconds: tokenLifetimeSeconds,
      nowSeconds: Math.floor(Date.now() / 1_000),
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.node[Symbol.asyncDispose]();
  }
}

export function podIdentity(pod: Pod): string {
  return identityName({ serviceAccount: pod.name, namespace, controlNamespace, trustDomain });
}
