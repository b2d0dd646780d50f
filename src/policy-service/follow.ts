/** A stream of replies that follows the answer to one question until the question or the reader goes away. */
import type { DescMessage } from "@bufbuild/protobuf";
import { grpcCode } from "../core/model/grpc-status.ts";
import type { ReplyStream } from "../edge/grpc/reply-stream.ts";
import { keepNewest } from "./newest.ts";
import type { Topics } from "./publish.ts";

export type FollowOptions<Q, V> = {
  readonly question: Q;
  /** The text of NOT_FOUND, before the reason. */
  readonly unknown: string;
  readonly write: (value: V) => void;
};

export function follow<Q, V, O extends DescMessage>(
  topics: Topics<Q, V>,
  stream: ReplyStream<O>,
  { question, unknown, write }: FollowOptions<Q, V>,
): void {
  const subscription = topics.subscribe(question, {
    onValue: keepNewest(stream, write),
    onGone: (reason) => stream.fail(grpcCode.notFound, `${unknown}: ${reason}`),
  });
  if (subscription.kind === "open") {
    stream.onClose(subscription.close);
  } else if (subscription.kind === "unknown") {
    stream.fail(grpcCode.notFound, `${unknown}: ${subscription.reason}`);
  } else {
    stream.fail(grpcCode.resourceExhausted, "Close other watches first: no more are allowed");
  }
}
