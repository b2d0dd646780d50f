/**
 * A server stream that outlives its connection: whatever ends it, it is asked for again after a pause, until it is closed or
 * the server refuses for good. The last message stays valid in between; that is the reader's decision, not made here.
 *
 *   connecting ──first message──▶ connected
 *       ▲  │                          │
 *    pause └────────▶ disconnected ◀──┘        either may also end as rejected
 *       └──────────────────┘
 */
import type { DescMessage, DescMethodServerStreaming, MessageShape } from "@bufbuild/protobuf";
import type { Client, ClientReadableStream } from "@grpc/grpc-js";
import { grpcCode } from "../../core/model/grpc-status.ts";
import type { Backoff } from "./backoff.ts";
import { backoffMs } from "./backoff.ts";
import type { GrpcChannel, RequestMetadata } from "./client.ts";
import { channelClosed, requestMetadata } from "./client.ts";
import { methodDefinition } from "./service.ts";
import type { GrpcFailure } from "./status.ts";
import { grpcFailure, toFailure } from "./status.ts";
import type { Timers } from "./timers.ts";

/** `rejected` is final. `connected` means that a message of the running stream has arrived. */
export type WatchState = "connecting" | "connected" | "disconnected" | "rejected";

export type WatchDetail = {
  /** Failures in a row since the last message. */
  readonly failures: number;
  /** Why it is disconnected or rejected. A stream that the server ended without a failure has code OK. */
  readonly failure: GrpcFailure | undefined;
  /** The pause before the next try, when there is one. */
  readonly retryMs: number | undefined;
};

export type WatchOptions<I extends DescMessage, O extends DescMessage> = {
  readonly channel: GrpcChannel;
  readonly method: DescMethodServerStreaming<I, O>;
  readonly request: MessageShape<I>;
  readonly metadata?: RequestMetadata;
  readonly onMessage: (message: MessageShape<O>) => void;
  readonly onState: (state: WatchState, detail: WatchDetail) => void;
  /** Codes after which asking again is useless. */
  readonly terminalCodes: readonly number[];
  readonly backoff: Backoff;
  /** How long the first message of a stream may take, connection included. Zero is no limit. */
  readonly initialTimeoutMs: number;
  /** Answers in [0, 1). */
  readonly random: () => number;
  readonly timers: Timers;
};

export type Watch = {
  /** Nothing is called afterwards. */
  readonly close: () => void;
};

/** Nothing is called before this function has returned. */
export function watchStream<I extends DescMessage, O extends DescMessage>(
  options: WatchOptions<I, O>,
): Watch {
  const watch = new StreamWatch(options);
  queueMicrotask(() => watch.subscribe());
  return { close: () => watch.close() };
}

type Phase<O extends DescMessage> =
  | { readonly phase: "subscribed"; readonly subscription: Subscription<O> }
  | { readonly phase: "pausing"; readonly callOff: () => void }
  | { readonly phase: "over" };

type Subscription<O extends DescMessage> = {
  readonly client: Client;
  readonly call: ClientReadableStream<MessageShape<O>>;
  stopTimeout: () => void;
  /** Set when this side ended the call for want of a first message. */
  givenUp: GrpcFailure | undefined;
  received: boolean;
};

class StreamWatch<I extends DescMessage, O extends DescMessage> {
  readonly #options: WatchOptions<I, O>;
  #phase: Phase<O> = { phase: "pausing", callOff: () => undefined };
  #failures = 0;

  constructor(options: WatchOptions<I, O>) {
    this.#options = options;
  }

  subscribe(): void {
    const { channel, method, request, metadata, initialTimeoutMs, timers } = this.#options;
    if (this.#isOver()) return;
    this.#tell("connecting");
    // The state callback may have closed the watch.
    if (this.#isOver()) return;
    const client = channel.client();
    if (client === undefined) {
      this.#phase = { phase: "over" };
      this.#tell("disconnected", channelClosed(channel));
      return;
    }
    const { path, requestSerialize, responseDeserialize } = methodDefinition<I, O>(method);
    const subscription: Subscription<O> = {
      client,
      call: client.makeServerStreamRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        requestMetadata(metadata),
      ),
      stopTimeout: () => undefined,
      givenUp: undefined,
      received: false,
    };
    this.#phase = { phase: "subscribed", subscription };
    if (initialTimeoutMs > 0) {
      subscription.stopTimeout = timers.after(initialTimeoutMs, () => this.#giveUp(subscription));
    }
    this.#listen(subscription);
  }

  close(): void {
    const last = this.#phase;
    this.#phase = { phase: "over" };
    if (last.phase === "pausing") last.callOff();
    if (last.phase === "subscribed") {
      last.subscription.stopTimeout();
      last.subscription.call.cancel();
    }
  }

  #listen(subscription: Subscription<O>): void {
    const { call } = subscription;
    call.on("data", (message: MessageShape<O>) => this.#received(subscription, message));
    call.on("status", (status) => this.#ended(subscription, toFailure(status)));
    // A failure arrives twice, here and as the status that every call ends with. Without a listener it would be thrown.
    call.on("error", () => undefined);
  }

  #received(subscription: Subscription<O>, message: MessageShape<O>): void {
    if (!this.#isCurrent(subscription)) return;
    if (!subscription.received) {
      subscription.received = true;
      subscription.stopTimeout();
      this.#failures = 0;
      this.#tell("connected");
    }
    // The state callback may have closed the watch.
    if (this.#isCurrent(subscription)) this.#options.onMessage(message);
  }

  #giveUp(subscription: Subscription<O>): void {
    const { channel, initialTimeoutMs } = this.#options;
    subscription.givenUp = channel.renew(subscription.client)
      ? grpcFailure(
          grpcCode.unavailable,
          `No connection to "${channel.address}" within ${initialTimeoutMs} ms`,
        )
      : grpcFailure(grpcCode.deadlineExceeded, `No message within ${initialTimeoutMs} ms`);
    subscription.call.cancel();
  }

  #ended(subscription: Subscription<O>, status: GrpcFailure): void {
    if (!this.#isCurrent(subscription)) return;
    subscription.stopTimeout();
    const { terminalCodes, backoff, random, timers } = this.#options;
    const failure = subscription.givenUp ?? status;
    this.#failures++;
    if (terminalCodes.includes(failure.code)) {
      this.#phase = { phase: "over" };
      this.#tell("rejected", failure);
      return;
    }
    const retryMs = backoffMs(backoff, this.#failures, random);
    this.#phase = {
      phase: "pausing",
      callOff: timers.after(retryMs, () => this.subscribe()),
    };
    this.#tell("disconnected", failure, retryMs);
  }

  #isOver(): boolean {
    return this.#phase.phase === "over";
  }

  #isCurrent(subscription: Subscription<O>): boolean {
    return this.#phase.phase === "subscribed" && this.#phase.subscription === subscription;
  }

  #tell(state: WatchState, failure?: GrpcFailure, retryMs?: number): void {
    this.#options.onState(state, { failures: this.#failures, failure, retryMs });
  }
}
