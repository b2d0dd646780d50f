/**
 * The `weft` command: picks the process, turns bad usage and uncaught faults into exit codes. Each process is imported when it is wanted: a sidecar
 * does not pay for the code of the policy service.
 */
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { keepCompiled } from "../edge/process/compile-cache.ts";
import { keepYoungSpaceSmall } from "../edge/process/heap.ts";
import { reapOrphans } from "../edge/process/reap.ts";
import { keepHeapSmall } from "../policy-service/heap.ts";
import type { AwaitFlags } from "./await.ts";
import type { ExplainFlags } from "./explain.ts";
import type { InitOptions } from "./init.ts";

/** sysexits.h EX_USAGE: the command line or the environment cannot be used. The same code that Linkerd's proxy ends with. */
const usageError = 64;

const manifest: { readonly version: string } = JSON.parse(
  readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
);

function program(finish: (code: number) => void): Command {
  const weft = new Command("weft")
    .description(
      "A service mesh: sidecar proxies, the policy service that tells them what to do, and the identity issuer.",
    )
    .version(manifest.version)
    .exitOverride()
    .configureHelp({ helpWidth: 100 })
    .showHelpAfterError(
      'Run "weft --help" for the commands, "weft COMMAND --help" for one of them.',
    )
    .addHelpText(
      "after",
      `
Examples:
  weft demo                              a whole mesh on this machine, with a walk-through
  weft policy --source files:./policies  serve the resources of a folder to sidecars
  weft explain --help                    why a request goes where it goes

Exit codes: 0 done, 1 failed, 64 the command line or the environment is wrong.`,
    );
  weft
    .command("sidecar")
    .description("the proxy beside an application; configured by WEFT_* variables")
    .addHelpText("after", sidecarHelp)
    .action(async () => {
      keepYoungSpaceSmall();
      reapOrphans();
      const { startSidecar } = await import("./start-sidecar.ts");
      finish(await startSidecar(process.env));
    });
  weft
    .command("policy")
    .description("the policy service: resources in, policies and endpoints out over gRPC")
    .requiredOption("--source <source>", "where the resources are: files:DIR")
    .addHelpText(
      "after",
      `
Every document of every .yaml, .yml and .json file below DIR is read, checked against its schema, and watched.

Examples:
  weft policy --source files:./policies
  WEFT_POLICY_LISTEN_ADDR=0.0.0.0:8090 weft policy --source files:/etc/weft/policies
  curl http://127.0.0.1:9990/status      conditions of every route, refused documents`,
    )
    .action(async (options: { readonly source: string }) => {
      // Before the code of the service is read, which alone would make the young space large.
      keepHeapSmall();
      reapOrphans();
      const { runPolicyService } = await import("./policy-service.ts");
      finish(await runPolicyService(options, process.env));
    });
  weft
    .command("identity")
    .description("the certificate issuer; makes its CA on the first start")
    .addHelpText(
      "after",
      `
Examples:
  WEFT_IDENTITY_ISSUER_DIR=./ca WEFT_IDENTITY_TOKEN_KEYS_FILE=./signer.pub weft identity
  openssl x509 -in ./ca/ca.crt -noout -subject -enddate`,
    )
    .action(async () => {
      reapOrphans();
      const { runIdentityIssuer } = await import("./identity-issuer.ts");
      finish(await runIdentityIssuer(process.env));
    });
  addInit(weft, finish);
  addAwait(weft, finish);
  addExplain(weft, finish);
  addDemo(weft, finish);
  return weft;
}

const sidecarHelp = `
Required:
  WEFT_POLICY_SVC_ADDR, WEFT_DESTINATION_SVC_ADDR, WEFT_IDENTITY_SVC_ADDR   the control plane
  WEFT_POLICY_WORKLOAD                  {"ns":"NAMESPACE","pod":"NAME"}
  WEFT_IDENTITY_LOCAL_NAME              SA.NAMESPACE.serviceaccount.identity.weft.cluster.local
  WEFT_IDENTITY_TRUST_ANCHORS[_FILE], WEFT_IDENTITY_TOKEN_FILE

A control plane on another machine is spoken to over mutual TLS, and must prove these identities:
  WEFT_POLICY_SVC_NAME, WEFT_DESTINATION_SVC_NAME, WEFT_IDENTITY_SVC_NAME

Traces, over OTLP/gRPC; without a ratio only those that others begin are followed:
  WEFT_TRACE_COLLECTOR_SVC_ADDR=otel-collector.observability:4317, WEFT_TRACE_SAMPLE_RATIO=0.01

Without redirect rules (explicit mode):
  WEFT_INBOUND_FORWARDS=10.1.2.3:8080=127.0.0.1:8080    stand in front of an application port
  http_proxy=http://127.0.0.1:4140                      set this for the application

Examples:
  curl -x http://127.0.0.1:4140 http://backend.namespace:8080/
  curl http://127.0.0.1:4191/policy     what this sidecar enforces now`;

function addInit(weft: Command, finish: (code: number) => void): void {
  weft
    .command("init")
    .description("redirects the TCP traffic of this network namespace through the sidecar")
    .option("--redirect-inbound-to <port>", "the sidecar's port for what comes in (4143)")
    .option("--redirect-outbound-to <port>", "the sidecar's port for what goes out (4140)")
    .option("--proxy-uid <uid>", "the user that the sidecar runs as (2102)")
    .option("--proxy-gid <gid>", "its group, when that should count as well")
    .option("--admin-ports <ports>", "reached from outside as they are (4190,4191)")
    .option("--skip-inbound-ports <ports>", "ports of the application to leave alone: 25,8000-8100")
    .option("--skip-outbound-ports <ports>", "ports of others to leave alone")
    .option("--skip-subnets <networks>", "clients to leave alone: 10.1.0.0/16,fd00:1::/64")
    .option("--skip-outbound-subnets <networks>", "targets to leave alone")
    .option("--ipv4-only", "redirect IPv4, and refuse TCP over IPv6 instead of redirecting it")
    .option("--iptables-mode <mode>", "auto, nft, legacy or plain (auto)")
    .option("--dry-run", "print the rules, change nothing")
    .option("--clean", "take the rules away")
    .addHelpText("after", initHelp)
    .action(async (options: InitOptions) => {
      const { runInit } = await import("./init.ts");
      finish(runInit(options, process.env));
    });
}

const initHelp = `
Every setting is a variable too: --skip-outbound-ports is WEFT_INIT_SKIP_OUTBOUND_PORTS. Needs root with CAP_NET_ADMIN and
the package iptables. Rules for IPv4 and IPv6 are set together; where applications can speak IPv6 and its rules cannot be
set, nothing is, because traffic would go around the mesh. Setting them again replaces them. Loopback, UDP and what the
sidecar's user sends are left alone.

Examples:
  weft init --dry-run
  weft init --skip-outbound-ports 3306,5432 --skip-inbound-ports 9000-9010
  weft init --clean
  ip netns exec POD weft init           from outside of the pod

Exit codes: 0 done, 1 the rules could not be set, 64 the command line or the environment is wrong.`;

function addAwait(weft: Command, finish: (code: number) => void): void {
  weft
    .command("await")
    .description("blocks until the sidecar beside it is ready")
    .option("--timeout <duration>", "how long to wait", "2m")
    .option("--port <port>", "the sidecar's admin port on loopback", "4191")
    .addHelpText(
      "after",
      `
Examples:
  weft await && exec my-application
  weft await --timeout 30s --port 4191  as a postStart hook

Exit codes: 0 ready, 1 not ready in time, 64 the command line is wrong.`,
    )
    .action(async (flags: AwaitFlags) => {
      const { runAwait } = await import("./await.ts");
      finish(await runAwait(flags));
    });
}

function addExplain(weft: Command, finish: (code: number) => void): void {
  weft
    .command("explain")
    .description("what would become of a request, and why, from a folder of resources")
    .argument("[request...]", "[METHOD] PATH, or a whole URL in place of --to")
    .option("-f, --file <dir>", "folder of the resources, as for weft policy", "")
    .option("--from <client>", "who asks: NAMESPACE/SERVICEACCOUNT", "")
    .option("--to <destination>", "what is asked for: SERVICE.NAMESPACE:PORT")
    .option("-H, --header <field>", "'name: value'; may be repeated", collect, [])
    .option("--token <file>", "a signed token (JWT) that the request brings as its Authorization")
    .option("--ip <address>", "address of the client; else that of a pod of the account")
    .option(
      "--at <place>",
      "instead of --to, where it arrives: NAMESPACE/POD:PORT or NAMESPACE/SERVER",
    )
    .option(
      "--identity <name>",
      "with --at, instead of --from: the name in the client's certificate",
    )
    .option("--id <decision>", "what a running sidecar decided, instead of a folder and a request")
    .option("--admin <address>", "with --id: the sidecar's admin port", "127.0.0.1:4191")
    .option("-o, --output <format>", "text, or json for scripts", "text")
    .addHelpText("after", explainHelp)
    .action(async (request: readonly string[], flags: ExplainFlags & DecisionFlags) => {
      const { id } = flags;
      if (id !== undefined && request.length === 0 && flags.file === "") {
        const { runExplainDecision } = await import("./explain-decision.ts");
        const isPlain = !process.stdout.isTTY || process.env["NO_COLOR"] !== undefined;
        finish(await runExplainDecision({ ...flags, id }, isPlain));
        return;
      }
      const { runExplain } = await import("./explain.ts");
      finish(await runExplain(request, flags, process.env));
    });
}

const explainHelp = `
The same code decides here as in the sidecars. With -f nothing is sent, and no sidecar is asked. With --id the sidecar is asked that
made the decision; the id is in the header l5d-decision-id of its answer and in its access log. WEFT_CLUSTER_DOMAIN,
WEFT_CLUSTER_NETWORKS, WEFT_DEFAULT_INBOUND_POLICY and the other settings of weft policy count here too.

Examples:
  weft explain -f examples/mesh --from demo/frontend --to backend-a.demo:8080 /env
  weft explain -f ./policies --from demo/frontend http://backend-a.demo:8080/echo?x=1
  weft explain -f ./policies --from demo/frontend --to backend-a:8080 POST /echo -H 'x-request-id: alternative'
  weft explain -f ./policies --from demo/frontend --to backend-a:8080 / -o json | jq .verdict
  weft explain -f ./policies --at demo/backend-a-http --ip 10.1.2.3 /echo
  weft explain --id 1x2y3z4-0-1-5f --admin 127.0.0.1:4191

Exit codes: 0 a backend would get it, or a filter answers below 400; 1 it would be refused; 64 the command line is wrong.
With --id: 0 it was not this sidecar that refused; 1 it was; 2 nothing is known about the id any more; 69 no sidecar answers.`;

type DecisionFlags = { readonly id?: string; readonly admin: string };

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

function addDemo(weft: Command, finish: (code: number) => void): void {
  const demo = weft
    .command("demo")
    .description("a whole mesh on this machine, with a walk-through of routing and authorization")
    .option(
      "--once",
      "run the walk-through, stop, and exit 0 only if every step did what it says",
      false,
    )
    .option("--netns", "pods of network namespaces, with redirect rules: needs root", false)
    .option("--base <octets>", "first two octets of the loopback addresses to use", "127.7")
    .option("--keep", "leave the work folder (policies, logs, certificates) behind", false)
    .option("--workers <n>", "worker threads of each sidecar", "1")
    .addHelpText(
      "after",
      `
Examples:
  weft demo                 stays up for your own curl; Ctrl-C ends it
  weft demo --once          for scripts
  weft demo --base 127.8    beside another demo
  weft demo --netns         curl in a pod, and no proxy setting anywhere

Exit codes: 0 done, 1 something was not as it says, 64 the command line is wrong, 69 the machine lacks something for --netns.`,
    )
    .action(async (options: DemoFlags) => {
      const { runDemo } = await import("./demo.ts");
      finish(await runDemo(options));
    });
  demo.command("application", { hidden: true }).action(async () => {
    const { runApplication } = await import("./demo.ts");
    finish(await runApplication(process.env));
  });
  demo.command("load <url>", { hidden: true }).action(async (url: string) => {
    const { runLoad } = await import("./demo.ts");
    finish(await runLoad(url));
  });
}

type DemoFlags = {
  readonly once: boolean;
  readonly netns: boolean;
  readonly base: string;
  readonly keep: boolean;
  readonly workers: string;
};

keepCompiled();
let code = 0;
try {
  await program((result) => {
    code = result;
  }).parseAsync();
} catch (error) {
  if (error instanceof CommanderError) code = error.exitCode === 0 ? 0 : usageError;
  else {
    process.stderr.write(
      `weft: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
    code = 1;
  }
}
process.exitCode = code;
