/**
 * The profile of one destination, which the destination service tells beside what the policy service tells. Its refusal is an answer: there is none. While
 * it is away, what was known last goes on.
 */
import { create } from "@bufbuild/protobuf";
import type { Profile } from "../core/model/profile.ts";
import type { Fault } from "../core/std/result.ts";
import { Destination, GetDestinationSchema } from "../core/wire/gen/linkerd/destination_pb.ts";
import { fromWireProfile } from "../core/wire/profile.ts";
import type { Log } from "../edge/telemetry/log.ts";
import type { ControlService } from "./control-service.ts";
import { type FollowedStream, followStream, type StreamFact } from "./follow-stream.ts";
import type { Surroundings } from "./surroundings.ts";

export type ProfileSource = {
  /** The destination service. */
  readonly service: ControlService;
  /** Sent with every question; names the client, whose namespace may have profiles of its own. */
  readonly context: string;
};

export type ProfileWatchOptions = ProfileSource & {
  readonly surroundings: Surroundings;
  readonly log: Log;
  readonly target: string;
  readonly onAnswer: () => void;
};

export type ProfileFact = {
  readonly stream: StreamFact;
  /** Undefined: nobody knows yet, or there is none. */
  readonly profile: Profile | undefined;
  readonly faults: readonly Fault[];
};

export class ProfileWatch {
  readonly #options: ProfileWatchOptions;
  readonly #stream: FollowedStream;
  #isAnswered = false;
  #profile: Profile | undefined;
  #faults: readonly Fault[] = [];

  constructor(options: ProfileWatchOptions) {
    const { service, surroundings, target, context } = options;
    this.#options = options;
    this.#stream = followStream({
      service,
      surroundings,
      method: Destination.method.getProfile,
      request: create(GetDestinationSchema, { path: target, contextToken: context }),
      onMessage: (message) => {
        const { value, faults } = fromWireProfile(message);
        if (faults.length > 0) options.log.warn("profile_faulty", { target, faults });
        this.#answered(value, faults);
      },
      onRefused: () => {
        // Asked again and again, the answer is news only once.
        if (!this.#isAnswered || this.#profile !== undefined) this.#answered(undefined, []);
      },
    });
  }

  /** Whether the service has said what there is, or that there is nothing. */
  get isAnswered(): boolean {
    return this.#isAnswered;
  }

  get fact(): ProfileFact {
    return { stream: this.#stream.fact(), profile: this.#profile, faults: this.#faults };
  }

  /** Nothing is called afterwards. */
  close(): void {
    this.#stream.close();
  }

  #answered(profile: Profile | undefined, faults: readonly Fault[]): void {
    this.#isAnswered = true;
    this.#profile = profile;
    this.#faults = faults;
    this.#options.onAnswer();
  }
}
