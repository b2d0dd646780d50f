/** A policy service over a folder of its own, and readers of its streams. */
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  create,
  type DescMessage,
  type DescMethodServerStreaming,
  type MessageShape,
} from "@bufbuild/protobuf";
import { grpcCode } from "../../src/core/model/grpc-status.ts";
import {
  Destination,
  type DestinationProfile,
  GetDestinationSchema,
  type Update,
} from "../../src/core/wire/gen/linkerd/destination_pb.ts";
import {
  InboundServerPolicies,
  PortSpecSchema,
  type Server,
} from "../../src/core/wire/gen/linkerd/inbound_pb.ts";
import {
  OutboundPolicies,
  type OutboundPolicy,
  TrafficSpecSchema,
} from "../../src/core/wire/gen/linkerd/outbound_pb.ts";
import { type GrpcChannel, openChannel } from "../../src/edge/grpc/client.ts";
import type { GrpcFailure } from "../../src/edge/grpc/status.ts";
import { systemTimers } from "../../src/edge/grpc/timers.ts";
import { watchStream } from "../../src/edge/grpc/watch.ts";
import { loadSchemas } from "../../src/edge/schema/schema-set.ts";
import type { Fields, Log } from "../../src/edge/telemetry/log.ts";
import { type PolicyService, startPolicyService } from "../../src/policy-service/service.ts";
import { settings } from "../core/resolve/world.ts";

/** Compiled once for all tests of a file. */
const schemas = loadSchemas(new URL("../../chart/crds", import.meta.url).pathname);

export type LogLine = { readonly level: string; readonly event: string; readonly fields: Fields };

export type Bench = {
  readonly service: PolicyService;
  readonly policy: GrpcChannel;
  readonly destination: GrpcChannel;
  /** As they are written. */
  readonly lines: readonly LogLine[];
  /** Resolves with the first line, past or to come, of this event that fits. */
  logged(event: string, fits?: (fields: Fields) => boolean): Promise<LogLine>;
  /** Puts a file into the folder in one step. */
  put(name: string, text: string): Promise<void>;
  remove(name: string): Promise<void>;
  page(path: string): Promise<Response>;
  [Symbol.asyncDispose](): Promise<void>;
};

/** `files`: name and text of what lies in the folder at the start. */
export async function startBench(files: Readonly<Record<string, string>>): Promise<Bench> {
  const root = await mkdtemp(join(tmpdir(), "weft-policy-"));
  const dir = join(root, "policies");
  const put = async (name: string, text: string): Promise<void> => {
    await writeFile(join(root, "next"), text);
    await rename(join(root, "next"), join(dir, name));
  };
  await mkdir(dir);
  for (const [name, text] of Object.entries(files)) await put(name, text);

  const log = recordingLog();
  const { checkPattern: _, ...ours } = settings;
  const started = await startPolicyService({
    source: { kind: "files", dir },
    policyAddress: "127.0.0.1:0",
    destinationAddress: "127.0.0.1:0",
    adminAddress: { host: "127.0.0.1", port: 0 },
    settings: ours,
    schemas,
    log,
  });
  if (!started.ok) throw new Error(JSON.stringify(started.faults));
  const service = started.value;
  const policy = openChannel(`127.0.0.1:${service.policyPort}`);
  const destination = openChannel(`127.0.0.1:${service.destinationPort}`);
  return {
    service,
    policy,
    destination,
    lines: log.lines,
    logged: log.logged,
    put,
    remove: (name) => rm(join(dir, name)),
    page: (path) => fetch(`http://127.0.0.1:${service.adminPort}${path}`),
    async [Symbol.asyncDispose]() {
      policy.close();
      destination.close();
      await service.close(0);
      await rm(root, { recursive: true });
    },
  };
}

type RecordingLog = Log & Pick<Bench, "lines" | "logged">;

function recordingLog(): RecordingLog {
  const lines: LogLine[] = [];
  const waiting = new Set<(line: LogLine) => void>();
  const write =
    (level: string) =>
    (event: string, fields: Fields = {}): void => {
      const line = { level, event, fields };
      lines.push(line);
      for (const tell of [...waiting]) tell(line);
    };
  return {
    lines,
    debug: write("debug"),
    info: write("info"),
    warn: write("warn"),
    error: write("error"),
    logged: (event, fits = () => true) => {
      const isIt = (line: LogLine): boolean => line.event === event && fits(line.fields);
      const known = lines.find(isIt);
      if (known !== undefined) return Promise.resolve(known);
      return new Promise((resolve) => {
        const tell = (line: LogLine): void => {
          if (!isIt(line)) return;
          waiting.delete(tell);
          resolve(line);
        };
        waiting.add(tell);
      });
    },
  };
}

/** One stream, read message by message. */
export type Reader<M> = {
  /** The next message; rejects with the failure when the stream ends instead. */
  next(): Promise<M>;
  /** Reads on until a message fits. */
  until(fits: (message: M) => boolean): Promise<M>;
  /** How the stream ended. */
  readonly ended: Promise<GrpcFailure>;
  close(): void;
};

const everyFailure = Object.values(grpcCode);

export function read<I extends DescMessage, O extends DescMessage>(
  channel: GrpcChannel,
  method: DescMethodServerStreaming<I, O>,
  request: MessageShape<I>,
  metadata: Readonly<Record<string, string>> = {},
): Reader<MessageShape<O>> {
  const messages: MessageShape<O>[] = [];
  const ended = Promise.withResolvers<GrpcFailure>();
  let wake: () => void = () => undefined;
  const watch = watchStream({
    channel,
    method,
    request,
    metadata,
    onMessage: (message) => {
      messages.push(message);
      wake();
    },
    onState: (state, { failure }) => {
      if (state !== "rejected" || failure === undefined) return;
      ended.resolve(failure);
    },
    terminalCodes: everyFailure,
    backoff: { minMs: 10, maxMs: 10, jitter: 0 },
    initialTimeoutMs: 0,
    random: () => 0,
    timers: systemTimers,
  });
  const next = async (): Promise<MessageShape<O>> => {
    for (;;) {
      const message = messages.shift();
      if (message !== undefined) return message;
      const woken = new Promise<undefined>((resolve) => {
        wake = () => resolve(undefined);
      });
      const failure = await Promise.race([woken, ended.promise]);
      if (failure !== undefined) throw new Error(`the stream ended: ${JSON.stringify(failure)}`);
    }
  };
  return {
    next,
    until: async (fits) => {
      for (;;) {
        const message = await next();
        if (fits(message)) return message;
      }
    },
    ended: ended.promise,
    close: () => watch.close(),
  };
}

export const workload = JSON.stringify({ ns: "demo", pod: "web-1" });

/** What a sidecar of Weft says; a client of Linkerd's contract says nothing. */
export const weftClient: Readonly<Record<string, string>> = { "weft-api": "1" };

export function watchOutbound(
  { policy }: Bench,
  authority: string,
  sourceWorkload: string = workload,
  metadata: Readonly<Record<string, string>> = {},
): Reader<OutboundPolicy> {
  const target = { case: "authority", value: authority } as const;
  const request = create(TrafficSpecSchema, { sourceWorkload, target });
  return read(policy, OutboundPolicies.method.watch, request, metadata);
}

export function watchPort(
  { policy }: Bench,
  port: number,
  pod: string = workload,
  metadata: Readonly<Record<string, string>> = {},
): Reader<Server> {
  const request = create(PortSpecSchema, { workload: pod, port });
  return read(policy, InboundServerPolicies.method.watchPort, request, metadata);
}

export function watchEndpoints(
  { destination }: Bench,
  path: string,
  contextToken: string = "",
): Reader<Update> {
  const request = create(GetDestinationSchema, { path, contextToken });
  return read(destination, Destination.method.get, request);
}

export function watchProfile({ destination }: Bench, path: string): Reader<DestinationProfile> {
  const request = create(GetDestinationSchema, { path, contextToken: '{"ns":"demo"}' });
  return read(destination, Destination.method.getProfile, request);
}
