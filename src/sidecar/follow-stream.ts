/**
 * Follows one resource of the control plane for as long as it is wanted. Beyond what `watchStream` does (try again after
 * every kind of loss) it asks again when the service refuses ("no such thing"), slowly: what does not exist now may be
 * created later.
 *
 *   connecting ──message──▶ connected ──loss──▶ disconnected ──message──▶ connected …
 *       └──────────refusal─────▶ refused ──a second or more──▶ asked again
 */
import type { DescMessage, DescMethodServerStreaming, MessageShape } from "@bufbuild/protobuf";
import { grpcCode } from "../core/model/grpc-status.ts";
import { type Backoff, backoffMs, watchBackoff } from "../edge/grpc/backoff.ts";
import { describeFailure, type GrpcFailure } from "../edge/grpc/status.ts";
import { type Watch, type WatchDetail, type WatchState, watchStream } from "../edge/grpc/watch.ts";
import type { ControlService } from "./control-service.ts";
import type { Surroundings } from "./surroundings.ts";

/** Says that extension fields of this contract are understood (package weft.v1). */
const watchMetadata: Readonly<Record<string, string>> = { "weft-api": "1" };

/** Linkerd's chart. A server that is there answers the first message at once. */
const initialTimeoutMs = 3_000;

/** A Service that is created after it was asked for is found within some seconds, at the price of one question each. */
export const refusedBackoff: Backoff = { minMs: 1_000, maxMs: 5_000, jitter: 0.2 };

/** The service is there and says that the question has no answer; whatever else ends a stream is a loss. */
const refusalCodes: readonly number[] = [
  grpcCode.invalidArgument,
  grpcCode.notFound,
  grpcCode.failedPrecondition,
  grpcCode.unimplemented,
];

export type StreamFact = {
  readonly state: "connecting" | "connected" | "disconnected" | "refused";
  readonly sinceMs: number;
  /** Why it is disconnected or refused; empty otherwise. */
  readonly reason: string;
};

export type FollowOptions<I extends DescMessage, O extends DescMessage> = {
  readonly service: ControlService;
  readonly surroundings: Surroundings;
  readonly method: DescMethodServerStreaming<I, O>;
  readonly request: MessageShape<I>;
  /** `first`: the stream is new, the message tells the whole state. */
  readonly onMessage: (message: MessageShape<O>, first: boolean) => void;
  readonly onRefused: (failure: GrpcFailure) => void;
};

export type FollowedStream = {
  readonly fact: () => StreamFact;
  /** Nothing is called afterwards. */
  readonly close: () => void;
};

/** Nothing is called before this function has returned. */
export function followStream<I extends DescMessage, O extends DescMessage>(
  options: FollowOptions<I, O>,
): FollowedStream {
  const stream = new Follower(options);
  return { fact: () => stream.fact, close: () => stream.close() };
}

class Follower<I extends DescMessage, O extends DescMessage> {
  readonly #options: FollowOptions<I, O>;
  #fact: StreamFact;
  #watch: Watch;
  #first = true;
  #refusals = 0;
  #callOffRetry: () => void = () => undefined;

  constructor(options: FollowOptions<I, O>) {
    this.#options = options;
    this.#fact = { state: "connecting", sinceMs: options.surroundings.nowMs(), reason: "" };
    this.#watch = this.#open();
  }

  get fact(): StreamFact {
    return this.#fact;
  }

  close(): void {
    this.#callOffRetry();
    this.#watch.close();
    this.#options.service.streamSettled(this);
  }

  #open(): Watch {
    const { service, method, request, surroundings, onMessage } = this.#options;
    return watchStream({
      channel: service.channel,
      method,
      request,
      metadata: watchMetadata,
      terminalCodes: refusalCodes,
      backoff: watchBackoff,
      initialTimeoutMs,
      random: surroundings.random,
      timers: surroundings.timers,
      onState: (state, detail) => this.#changed(state, detail),
      onMessage: (message) => {
        const first = this.#first;
        this.#first = false;
        onMessage(message, first);
      },
    });
  }

  #changed(state: WatchState, { failure }: WatchDetail): void {
    const { service } = this.#options;
    const reason = failure === undefined ? "" : describeFailure(failure);
    this.#first = true;
    switch (state) {
      case "connecting":
        // Asking again is part of being disconnected or refused, until there is an answer.
        return;
      case "connected":
        this.#refusals = 0;
        this.#enter("connected", "");
        service.streamSettled(this);
        return;
      case "disconnected":
        this.#enter("disconnected", reason);
        service.streamLost(this, reason);
        return;
      case "rejected":
        this.#enter("refused", reason);
        service.streamSettled(this);
        this.#askAgainLater();
        if (failure !== undefined) this.#options.onRefused(failure);
    }
  }

  #enter(state: StreamFact["state"], reason: string): void {
    const sinceMs =
      state === this.#fact.state ? this.#fact.sinceMs : this.#options.surroundings.nowMs();
    this.#fact = { state, sinceMs, reason };
  }

  #askAgainLater(): void {
    const { timers, random } = this.#options.surroundings;
    this.#refusals++;
    this.#callOffRetry = timers.after(backoffMs(refusedBackoff, this.#refusals, random), () => {
      this.#watch.close();
      this.#watch = this.#open();
    });
  }
}
