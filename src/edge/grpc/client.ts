/**
 * Calls over one HTTP/2 connection per channel, in clear text or mutual TLS, which is made again when it breaks: on demand, or at once for a channel that
 * is to be kept open.
 */
import type { DescMessage, DescMethodUnary, MessageShape } from "@bufbuild/protobuf";
import type { ChannelOptions } from "@grpc/grpc-js";
import {
  Client,
  connectivityState,
  credentials,
  logVerbosity,
  Metadata,
  setLogVerbosity,
} from "@grpc/grpc-js";
import { grpcCode } from "../../core/model/grpc-status.ts";
import { type ChannelTls, MeshChannelCredentials } from "./mesh-credentials.ts";
import { maxMessageBytes, methodDefinition } from "./service.ts";
import type { GrpcFailure } from "./status.ts";
import { grpcFailure, toFailure } from "./status.ts";

/**
 * A server that hangs (stopped, or gone without a word) is noticed after interval and timeout together: 15 s.
 * Some servers close connections that are tried more often than every 5 minutes; the library then slows down by itself.
 * The proxies in front of Linkerd's control plane are not among them.
 */
export const keepalive: Keepalive = { intervalMs: 10_000, timeoutMs: 5_000 };

/** Pauses between connection attempts. With the library's variation of 20 % a server is seen again within 1.2 s. */
const minReconnectMs = 100;
const maxReconnectMs = 1_000;

/** A control plane that moved has a new address; the library's own pause between lookups is 30 s. */
const minResolveMs = 1_000;

/** An attempt to connect that is given up for another one, for channels that are kept open without anybody who waits for an answer. */
const maxAttemptMs = 3_000;

/** The library closes connections that carry no call for half an hour, and takes no other way to be told not to. */
const longestTimerMs: number = 2 ** 31 - 1;

export type Keepalive = { readonly intervalMs: number; readonly timeoutMs: number };

/** Text metadata of a request. Names are lower case. */
export type RequestMetadata = Readonly<Record<string, string>>;

export type GrpcChannel = {
  readonly address: string;
  /** The library's client for now, or undefined when the channel is closed. */
  readonly client: () => Client | undefined;
  /**
   * Gives up on a client without connection and starts afresh, unless that was done already. The library sets no limit to
   * an attempt to connect: behind a host that vanished it lasts for minutes. Answers false for a client that is connected.
   */
  readonly renew: (client: Client) => boolean;
  /** Whether a channel that is kept open has ever had a connection: the server was there, and proved its name where it has to. */
  readonly wasConnected: () => boolean;
  /** Allows no further call. Those that run go on, so close the watches of a channel first. */
  readonly close: () => void;
};

export type CallAnswer<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly failure: GrpcFailure };

export type UnaryCallOptions = {
  /** For the whole call, including the wait for a connection. */
  readonly deadlineMs: number;
  readonly metadata?: RequestMetadata;
  /** Told the server's time in milliseconds since 1970, if it tells it (RFC 9110 §6.6.1). */
  readonly onDate?: (serverMs: number) => void;
};

export type ChannelSettings = {
  readonly keepalive?: Keepalive;
  /** Undefined: clear text. */
  readonly tls?: ChannelTls | undefined;
  /** Connects at once, and again after each loss, so that the first question does not wait for a handshake. */
  readonly isKeptOpen?: boolean;
};

/** Opens no connection yet, unless it is to be kept open. The address is `ip:port` or `name:port`. */
export function openChannel(address: string, settings: ChannelSettings = {}): GrpcChannel {
  // What the library would print arrives as the answer of a call.
  setLogVerbosity(logVerbosity.NONE);
  let wasConnected = false;
  let current: Client | undefined = open();

  function open(): Client {
    const client = newClient(address, settings);
    if (settings.isKeptOpen === true) {
      keepOpen(client, {
        onConnected: () => {
          wasConnected = true;
        },
        onStuck: () => renew(client),
      });
    }
    return client;
  }

  function renew(client: Client): boolean {
    if (client !== current) return true;
    if (client.getChannel().getConnectivityState(false) === connectivityState.READY) return false;
    current = open();
    client.close();
    return true;
  }

  return {
    address,
    client: () => current,
    renew,
    wasConnected: () => wasConnected,
    close() {
      current?.close();
      current = undefined;
    },
  };
}

type KeptOpen = {
  readonly onConnected: () => void;
  /** An attempt to connect takes too long. */
  readonly onStuck: () => void;
};

/** Has the library connect whenever it is idle: it goes there at the start, and after a loss that no call has met. */
function keepOpen(client: Client, { onConnected, onStuck }: KeptOpen): void {
  const channel = client.getChannel();
  const look = (): void => {
    const state = channel.getConnectivityState(false);
    if (state === connectivityState.SHUTDOWN) return;
    if (state === connectivityState.READY) onConnected();
    const isTrying = state === connectivityState.CONNECTING;
    const until = isTrying ? Date.now() + maxAttemptMs : Number.POSITIVE_INFINITY;
    channel.watchConnectivityState(state, until, (timedOut) => {
      // The library is in the middle of the change.
      if (timedOut === undefined) queueMicrotask(look);
      else onStuck();
    });
    if (state === connectivityState.IDLE) channel.getConnectivityState(true);
  };
  look();
}

/** Waits for a connection, as long as the deadline allows: at start the server may come up a moment later. */
export function callUnary<I extends DescMessage, O extends DescMessage>(
  channel: GrpcChannel,
  method: DescMethodUnary<I, O>,
  request: MessageShape<I>,
  options: UnaryCallOptions,
): Promise<CallAnswer<MessageShape<O>>> {
  const client = channel.client();
  if (client === undefined) return Promise.resolve({ ok: false, failure: channelClosed(channel) });
  const { path, requestSerialize, responseDeserialize } = methodDefinition<I, O>(method);
  return new Promise((resolve) => {
    const call = client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      requestMetadata(options.metadata),
      { deadline: Date.now() + options.deadlineMs },
      (error, value) => {
        if (value === undefined) resolve({ ok: false, failure: toFailure(error) });
        else resolve({ ok: true, value });
      },
    );
    const { onDate } = options;
    if (onDate === undefined) return;
    call.on("metadata", (metadata: Metadata) => {
      const serverMs = Date.parse(metadata.get("date").join());
      if (!Number.isNaN(serverMs)) onDate(serverMs);
    });
  });
}

export function requestMetadata(fields: RequestMetadata = {}): Metadata {
  const metadata = new Metadata({ waitForReady: true });
  for (const [name, value] of Object.entries(fields)) metadata.set(name, value);
  return metadata;
}

export function channelClosed(channel: GrpcChannel): GrpcFailure {
  return grpcFailure(
    grpcCode.unavailable,
    `Open the channel to "${channel.address}" again: it is closed`,
  );
}

function newClient(
  address: string,
  { keepalive: tries = keepalive, tls, isKeptOpen = false }: ChannelSettings,
): Client {
  const options: ChannelOptions = {
    ...(isKeptOpen ? { "grpc.client_idle_timeout_ms": longestTimerMs } : {}),
    "grpc.keepalive_time_ms": tries.intervalMs,
    "grpc.keepalive_timeout_ms": tries.timeoutMs,
    "grpc.keepalive_permit_without_calls": 1,
    "grpc.initial_reconnect_backoff_ms": minReconnectMs,
    "grpc.max_reconnect_backoff_ms": maxReconnectMs,
    "grpc.dns_min_time_between_resolutions_ms": minResolveMs,
    "grpc.max_receive_message_length": maxMessageBytes,
    // Watches and callers decide about retries; those of the library would keep copies of every message.
    "grpc.enable_retries": 0,
    // In explicit mode `http_proxy` in the environment names our own sidecar; the control plane is not behind it.
    "grpc.enable_http_proxy": 0,
    // No lookup of TXT records for a configuration that nobody publishes.
    "grpc.service_config_disable_resolution": 1,
    // A channel owns its connection, so that giving up on one channel does not touch another.
    "grpc.use_local_subchannel_pool": 1,
  };
  const secured =
    tls === undefined ? credentials.createInsecure() : new MeshChannelCredentials(tls);
  return new Client(address, secured, options);
}
