import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import test from "ava";
import {
  OutboundPolicies,
  TrafficSpecSchema,
} from "../../src/core/wire/gen/linkerd/outbound_pb.ts";
import { callUnary, openChannel } from "../../src/edge/grpc/client.ts";
import { anchorsContext, clientContext } from "../../src/edge/net/mesh-tls.ts";
import { makeKeyPair } from "../../src/edge/x509/key-pair.ts";
import { signServiceAccountToken } from "../../src/edge/x509/token-signer.ts";
import { Folder } from "../edge/x509/openssl.ts";
import { TestCa } from "../harness/certificates.ts";
import { mesh } from "../policy-service/files.ts";

const main = fileURLToPath(new URL("../../src/app/main.ts", import.meta.url));
const tokenPair = makeKeyPair();

/** Below the time-out of the runner, which would not say what the process was doing. */
const lineDeadlineMs = 90_000;

type Line = Readonly<Record<string, unknown>>;

/** A `weft` command as a process, and its log. */
class Weft implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly lines: Line[] = [];
  readonly #exited: Promise<unknown>;
  #wake = Promise.withResolvers<void>();

  constructor(args: readonly string[], env: Readonly<Record<string, string>>) {
    this.child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", main, ...args], {
      env: { WEFT_ADMIN_LISTEN_ADDR: "127.0.0.1:0", ...env },
      stdio: ["ignore", "ignore", "pipe"],
    });
    // A test that is cut off leaves nothing running.
    const kill = (): boolean => this.child.kill("SIGKILL");
    process.once("exit", kill);
    this.#exited = once(this.child, "exit").then(() => {
      process.off("exit", kill);
      this.#woken();
    });
    if (this.child.stderr === null) throw new Error("Started without a pipe");
    createInterface(this.child.stderr).on("line", (text) => {
      if (text.startsWith("{")) this.lines.push(JSON.parse(text));
      this.#woken();
    });
  }

  #woken(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  async line(event: string): Promise<Line> {
    const late = AbortSignal.timeout(lineDeadlineMs);
    late.addEventListener("abort", () => this.#woken());
    for (;;) {
      const found = this.lines.find((line) => line["event"] === event);
      if (found !== undefined) return found;
      const { exitCode, signalCode } = this.child;
      const end = exitCode ?? signalCode;
      if (end !== null) throw new Error(`Ended by ${end}: ${JSON.stringify(this.lines)}`);
      if (late.aborted) throw new Error(`Said no ${event}: ${JSON.stringify(this.lines)}`);
      await this.#wake.promise;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGKILL");
    await this.#exited;
  }
}

function nameOf(account: string): string {
  return `${account}.serviceaccount.identity.weft.cluster.local`;
}

const names = { identity: nameOf("weft-identity.weft"), policy: nameOf("weft-policy.weft") };

class Control implements AsyncDisposable {
  readonly folder = new Folder();
  readonly identity: Weft;
  policy: Weft | undefined;
  identityAddress = "";
  policyAddress = "";
  destinationAddress = "";

  constructor() {
    const pem = tokenPair.publicKey.export({ format: "pem", type: "spki" }).toString();
    this.identity = new Weft(["identity"], {
      WEFT_IDENTITY_LISTEN_ADDR: "127.0.0.1:0",
      WEFT_IDENTITY_ISSUER_DIR: this.folder.file("ca"),
      WEFT_IDENTITY_TOKEN_KEYS_FILE: this.folder.write("keys.pem", pem),
      WEFT_IDENTITY_LOCAL_NAME: names.identity,
    });
  }

  static async start(): Promise<Control> {
    const control = new Control();
    control.identityAddress = String((await control.identity.line("serving"))["identity"]);
    control.folder.write("mesh.yaml", mesh);
    control.policy = new Weft(["policy", "--source", `files:${control.folder.path}`], {
      WEFT_POLICY_LISTEN_ADDR: "127.0.0.1:0",
      WEFT_DESTINATION_LISTEN_ADDR: "127.0.0.1:0",
      ...control.certifiedAs("weft", "weft-policy"),
    });
    const serving = await control.policy.line("serving");
    await control.policy.line("identity_certified");
    control.policyAddress = String(serving["policy"]);
    control.destinationAddress = String(serving["destination"]);
    return control;
  }

  get anchors(): string {
    return this.folder.read("ca/ca.crt").toString();
  }

  /** Settings of a process that has itself certified. */
  certifiedAs(namespace: string, serviceAccount: string): Record<string, string> {
    const token = signServiceAccountToken({
      key: tokenPair.privateKey,
      namespace,
      serviceAccount,
      audience: "identity.l5d.io",
      lifetimeSeconds: 600,
      nowSeconds: Math.floor(Date.now() / 1_000),
    });
    return {
      WEFT_IDENTITY_LOCAL_NAME: nameOf(`${serviceAccount}.${namespace}`),
      WEFT_IDENTITY_TOKEN_FILE: this.folder.write(`${serviceAccount}.token`, token),
      WEFT_IDENTITY_SVC_ADDR: this.identityAddress,
      WEFT_IDENTITY_SVC_NAME: names.identity,
      WEFT_IDENTITY_TRUST_ANCHORS_FILE: this.folder.file("ca/ca.crt"),
    };
  }

  sidecar(change: Readonly<Record<string, string>> = {}): Weft {
    return new Weft(["sidecar"], {
      WEFT_POLICY_SVC_ADDR: this.policyAddress,
      WEFT_POLICY_SVC_NAME: names.policy,
      WEFT_DESTINATION_SVC_ADDR: this.destinationAddress,
      WEFT_DESTINATION_SVC_NAME: names.policy,
      WEFT_POLICY_WORKLOAD: '{"ns":"demo","pod":"web-1"}',
      WEFT_OUTBOUND_LISTEN_ADDR: "127.0.0.1:0",
      WEFT_INBOUND_LISTEN_ADDR: "127.0.0.1:0",
      WEFT_INBOUND_FORWARDS: "127.0.0.1:0=127.0.0.1:1",
      WEFT_WORKERS: "1",
      ...this.certifiedAs("demo", "web"),
      ...change,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.identity[Symbol.asyncDispose]();
    await this.policy?.[Symbol.asyncDispose]();
    this.folder[Symbol.dispose]();
  }
}

/** One for both tests: five processes of seven would start at once on the two processors of CI. */
const started = Control.start();

test.after.always(async () => {
  await (await started)[Symbol.asyncDispose]();
});

test("a sidecar is certified and told its policy over mutual TLS, by processes that prove their names", async (t) => {
  const control = await started;
  await using sidecar = control.sidecar();
  const { admin } = await sidecar.line("ready");
  const metrics = await (await fetch(`http://${String(admin)}/metrics`)).text();
  t.regex(metrics, /^weft_identity_cert_remaining_seconds 8\d{4}/m);
  t.regex(metrics, /^weft_identity_clock_skew_seconds -?0/m);

  const ask = (context: Parameters<typeof openChannel>[1]) => {
    const channel = openChannel(control.policyAddress, context);
    const target = { case: "authority", value: "a:8080" } as const;
    const request = create(TrafficSpecSchema, { sourceWorkload: "demo:web-1", target });
    const { method } = OutboundPolicies;
    return callUnary(channel, method.get, request, { deadlineMs: 1_000 }).finally(() =>
      channel.close(),
    );
  };
  const stranger = new TestCa("other").issue([nameOf("web.demo")]);
  const serverName = names.policy;
  const refused = [
    {},
    { tls: { serverName, context: async () => anchorsContext(control.anchors) } },
    {
      tls: {
        serverName,
        context: async () => clientContext({ ...stranger, trustAnchors: control.anchors }),
      },
    },
  ];
  for (const context of refused) t.false((await ask(context)).ok);
});

test("a sidecar tells nobody anything whose name is another", async (t) => {
  const control = await started;
  await using sidecar = control.sidecar({ WEFT_IDENTITY_SVC_NAME: names.policy });
  const { reason } = await sidecar.line("identity_not_certified");
  t.regex(String(reason), /deadline|instead of/i);
});
