/** A mesh in network namespaces: the control plane in pods of its own, and in each other pod a sidecar under its own user. Its resources are files. */
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { chownSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import { identityName } from "../../core/model/identity.ts";
import { signServiceAccountToken } from "../../edge/x509/token-signer.ts";
import { must } from "./command.ts";
import { NetnsNode } from "./node.ts";
import { namespace, type Pod, users, weft } from "./pod.ts";
import { type ContainerPort, podResource, serviceResources } from "./resources.ts";
import type { Running } from "./running.ts";
import type { ClusterService } from "./services.ts";

const ports = { policy: 8090, destination: 8086, identity: 8084 } as const;
const trustDomain = "cluster.local";
const controlNamespace = "weft";
const tokenAudience = "identity.l5d.io";
const tokenLifetimeSeconds = 3_600;

function controlName(serviceAccount: string): string {
  return identityName({
    serviceAccount,
    namespace: controlNamespace,
    controlNamespace,
    trustDomain,
  });
}

/** Sidecars come from other pods, so the control plane proves to them who it is. */
const names = { policy: controlName("weft-policy"), identity: controlName("weft-identity") };

/** Settings that both processes of the control plane share. */
const controlSettings = {
  WEFT_IDENTITY_TRUST_DOMAIN: trustDomain,
  WEFT_CONTROL_NAMESPACE: controlNamespace,
  WEFT_ADMIN_LISTEN_ADDR: "[::]:9990",
};

export type MeshOptions = {
  /** How long each certificate lasts, if not as long as by default. */
  readonly certificateLifetime?: string;
};

export type SidecarOptions = {
  /** Explicit mode, ports of the application: it listens on 127.0.0.1, the sidecar on the pod's address. */
  readonly forwards?: readonly number[];
  /** Redirect rules lead all connections of the pod through the sidecar. */
  readonly isTransparent?: boolean;
  readonly env?: Readonly<Record<string, string>>;
};

export class NetnsMesh implements AsyncDisposable {
  readonly node: NetnsNode;
  /** Faults of the network are put between these and others. */
  readonly policyPod: Pod;
  readonly identityPod: Pod;
  readonly #options: MeshOptions;
  #identity: Running | undefined;
  #policy: Running | undefined;
  readonly #tokenKey: KeyObject;

  private constructor(
    node: NetnsNode,
    pods: { readonly policy: Pod; readonly identity: Pod },
    tokenKey: KeyObject,
    options: MeshOptions,
  ) {
    this.node = node;
    this.policyPod = pods.policy;
    this.identityPod = pods.identity;
    this.#tokenKey = tokenKey;
    this.#options = options;
  }

  get policyFolder(): string {
    return path.join(this.node.folder, "policy");
  }

  get identity(): Running {
    if (this.#identity === undefined) throw new Error("The identity issuer was not started");
    return this.#identity;
  }

  get policy(): Running {
    if (this.#policy === undefined) throw new Error("The policy service was not started");
    return this.#policy;
  }

  static async start(options: MeshOptions = {}): Promise<NetnsMesh> {
    const node = await NetnsNode.start();
    try {
      return await NetnsMesh.startOn(node, options);
    } catch (error) {
      await node[Symbol.asyncDispose]();
      throw error;
    }
  }

  static async startOn(node: NetnsNode, options: MeshOptions = {}): Promise<NetnsMesh> {
    const mesh = await NetnsMesh.#prepare(node, options);
    await mesh.startIdentity();
    // The CA's folder is its own; others are given the certificate, as a ConfigMap gives it to pods.
    const anchors = await must("cat", [path.join(node.folder, "issuer", "ca.crt")]);
    writeFileSync(path.join(node.folder, "anchors.pem"), anchors);
    await mesh.startPolicy();
    return mesh;
  }

  static async #prepare(node: NetnsNode, options: MeshOptions): Promise<NetnsMesh> {
    mkdirSync(path.join(node.folder, "policy"));
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const pem = publicKey.export({ type: "spki", format: "pem" }).toString();
    writeFileSync(path.join(node.folder, "signer.pub"), pem);
    const policy = await node.addPod("policy");
    const identity = await node.addPod("identity");
    const mesh = new NetnsMesh(node, { policy, identity }, privateKey, options);
    mesh.declare("namespace", [
      { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } },
    ]);
    return mesh;
  }

  /** Also after it was killed. */
  async startIdentity(): Promise<void> {
    const { folder } = this.node;
    const { certificateLifetime } = this.#options;
    this.#identity = this.identityPod.start("root", [...weft, "identity"], {
      ...controlSettings,
      WEFT_IDENTITY_LOCAL_NAME: names.identity,
      WEFT_IDENTITY_LISTEN_ADDR: `[::]:${ports.identity}`,
      WEFT_IDENTITY_ISSUER_DIR: path.join(folder, "issuer"),
      WEFT_IDENTITY_TOKEN_KEYS_FILE: path.join(folder, "signer.pub"),
      ...(certificateLifetime === undefined
        ? {}
        : { WEFT_IDENTITY_ISSUANCE_LIFETIME: certificateLifetime }),
    });
    await this.#identity.untilSays(/"serving"/);
  }

  /** Also after it was killed. */
  async startPolicy(): Promise<void> {
    const source = `files:${this.policyFolder}`;
    this.#policy = this.policyPod.start("root", [...weft, "policy", "--source", source], {
      ...controlSettings,
      ...this.#certifiedAs("weft-policy", controlNamespace),
      WEFT_POLICY_LISTEN_ADDR: `[::]:${ports.policy}`,
      WEFT_DESTINATION_LISTEN_ADDR: `[::]:${ports.destination}`,
    });
    await this.#policy.untilSays(/"serving"/);
  }

  /** Writes resources into a file of the policy folder, all at once. */
  declare(name: string, resources: readonly object[]): void {
    const text = resources.map((resource) => `${JSON.stringify(resource)}\n`).join("---\n");
    this.declareText(`${name}.yaml`, text);
  }

  declareText(file: string, text: string): void {
    const draft = path.join(this.node.folder, "draft");
    writeFileSync(draft, text);
    renameSync(draft, path.join(this.policyFolder, file));
  }

  async addPod(name: string, containerPorts: readonly ContainerPort[] = []): Promise<Pod> {
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

  /** Other endpoints from now on, of IPv4. */
  async setEndpoints(name: string, pods: readonly Pod[]): Promise<void> {
    await this.node.setEndpoints(name, pods);
    const service = this.node.services.find((one) => one.name === name);
    if (service !== undefined) this.declare(`service-${name}`, serviceResources(service, [4]));
  }

  /** The sidecar of a pod. Resolves when `weft await` says so. */
  async startSidecar(pod: Pod, options: SidecarOptions = {}): Promise<Running> {
    const { forwards = [], isTransparent = false, env = {} } = options;
    if (isTransparent) {
      const rules = await pod.init();
      if (rules.code !== 0) throw new Error(`No redirect rules for ${pod.name}: ${rules.err}`);
    }
    const sidecar = pod.start("sidecar", [...weft, "sidecar"], {
      ...this.#certifiedAs(pod.name, namespace),
      WEFT_POLICY_SVC_ADDR: `${this.policyPod.ip4}:${ports.policy}`,
      WEFT_POLICY_SVC_NAME: names.policy,
      WEFT_DESTINATION_SVC_ADDR: `${this.policyPod.ip4}:${ports.destination}`,
      WEFT_DESTINATION_SVC_NAME: names.policy,
      WEFT_POLICY_WORKLOAD: JSON.stringify({ ns: namespace, pod: pod.name }),
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

  /** Settings of a process that has itself certified. */
  #certifiedAs(serviceAccount: string, ofNamespace: string): Readonly<Record<string, string>> {
    const { folder } = this.node;
    const token = signServiceAccountToken({
      key: this.#tokenKey,
      namespace: ofNamespace,
      serviceAccount,
      audience: tokenAudience,
      lifetimeSeconds: tokenLifetimeSeconds,
      nowSeconds: Math.floor(Date.now() / 1_000),
    });
    const tokenFile = path.join(folder, `${serviceAccount}.jwt`);
    writeFileSync(tokenFile, token, { mode: 0o600 });
    chownSync(tokenFile, users.sidecar, users.sidecar);
    return {
      WEFT_IDENTITY_LOCAL_NAME: identityName({
        serviceAccount,
        namespace: ofNamespace,
        controlNamespace,
        trustDomain,
      }),
      WEFT_IDENTITY_TOKEN_FILE: tokenFile,
      WEFT_IDENTITY_SVC_ADDR: `${this.identityPod.ip4}:${ports.identity}`,
      WEFT_IDENTITY_SVC_NAME: names.identity,
      WEFT_IDENTITY_TRUST_ANCHORS_FILE: path.join(folder, "anchors.pem"),
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.node[Symbol.asyncDispose]();
  }
}

export function podIdentity(pod: Pod): string {
  return identityName({ serviceAccount: pod.name, namespace, controlNamespace, trustDomain });
}
