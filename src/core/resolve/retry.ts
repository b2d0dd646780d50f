/** Retries: of the rule itself (GEP-1731), of the annotations of its route, or of those of the Service. */
import { grpcCode } from "../model/grpc-status.ts";
import {
  type Backoff,
  defaultRetryBackoff,
  defaultRetryBodyBytes,
  type Retry,
  type RetryBudget,
  type StatusRange,
} from "../model/retry.ts";
import type { HttpRouteRetry } from "../resource/http-route.ts";
import type { Annotations } from "./annotation.ts";

/** Undefined: not said. */
export type RetryWishes = {
  readonly statuses: readonly StatusRange[] | undefined;
  readonly grpcCodes: readonly number[] | undefined;
  readonly limit: number | undefined;
  readonly perTryMs: number | undefined;
};

export const retryAnnotations = {
  http: "retry.linkerd.io/http",
  grpc: "retry.linkerd.io/grpc",
  limit: "retry.linkerd.io/limit",
  timeout: "retry.linkerd.io/timeout",
} as const;

/** Linkerd's, for retries that do not say how many. */
const defaultLimit = 1;

/** Linkerd's type of the annotation. */
const limitRange = { min: 0, max: 65_535 } as const;

/** A wait grows to ten times of what was asked for, as Linkerd's default and Envoy's do. */
const backoffGrowth = 10;

const statusWords: ReadonlyMap<string, StatusRange> = new Map([
  ["5xx", { start: 500, end: 599 }],
  ["gateway-error", { start: 502, end: 504 }],
]);

const grpcWords: ReadonlyMap<string, number> = new Map([
  ["cancelled", grpcCode.cancelled],
  ["deadline-exceeded", grpcCode.deadlineExceeded],
  ["internal", grpcCode.internal],
  ["resource-exhausted", grpcCode.resourceExhausted],
  ["unavailable", grpcCode.unavailable],
]);

export function readRetryWishes(annotations: Annotations): RetryWishes {
  return {
    statuses: readStatuses(annotations),
    grpcCodes: readGrpcCodes(annotations),
    limit: annotations.integer(retryAnnotations.limit, limitRange),
    perTryMs: annotations.durationMs(retryAnnotations.timeout),
  };
}

function readStatuses(annotations: Annotations): readonly StatusRange[] | undefined {
  const text = annotations.text(retryAnnotations.http);
  if (text === undefined) return undefined;
  const ranges = text.split(",").map((word) => readRange(word.trim()));
  const known = ranges.filter((range) => range !== undefined);
  return known.length === ranges.length
    ? known
    : annotations.refuse(
        retryAnnotations.http,
        'a list of "5xx", "gateway-error", statuses and ranges like "500-504"',
      );
}

function readRange(word: string): StatusRange | undefined {
  const known = statusWords.get(word);
  if (known !== undefined) return known;
  const [, first = "", last = first] = /^([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?$/.exec(word) ?? [];
  return first !== "" && first <= last ? { start: Number(first), end: Number(last) } : undefined;
}

/** For GRPCRoutes. It is read whatever is attached, so that its writer is told of a slip. */
function readGrpcCodes(annotations: Annotations): readonly number[] | undefined {
  const words = annotations.text(retryAnnotations.grpc)?.split(",");
  const codes = words?.map((word) => grpcWords.get(word.trim()));
  const known = codes?.filter((code) => code !== undefined);
  if (known?.length === codes?.length) return known;
  const wanted = Array.from(grpcWords.keys(), (word) => JSON.stringify(word)).join(", ");
  return annotations.refuse(retryAnnotations.grpc, `a list of ${wanted}`);
}

type Wishes = RetryWishes & { readonly backoffMs: number | undefined };

/** As with timeouts: annotation, then field, and the Service's only for a rule that says nothing of its own. */
export function resolveRetry({
  ofRule,
  ofRoute,
  ofService,
  budget,
  protocol = "http",
}: {
  readonly ofRule: HttpRouteRetry | undefined;
  readonly ofRoute: RetryWishes;
  readonly ofService: RetryWishes;
  readonly budget: RetryBudget;
  /** Each kind of route has conditions of its own. */
  readonly protocol?: "http" | "grpc";
}): Retry | undefined {
  const said = ofProtocol(ofRoute, protocol);
  const own: Wishes = {
    grpcCodes: said.grpcCodes,
    statuses: said.statuses ?? ofRule?.codes.map((code) => ({ start: code, end: code })),
    limit: ofRoute.limit ?? ofRule?.attempts,
    perTryMs: ofRoute.perTryMs,
    backoffMs: ofRule?.backoffMs,
  };
  if (ofRule !== undefined || saysSomething(own)) return complete(own, budget);
  const inherited = { ...ofProtocol(ofService, protocol), backoffMs: undefined };
  return saysSomething(inherited) ? complete(inherited, budget) : undefined;
}

function ofProtocol(wishes: RetryWishes, protocol: "http" | "grpc"): RetryWishes {
  return protocol === "grpc"
    ? { ...wishes, statuses: undefined }
    : { ...wishes, grpcCodes: undefined };
}

function saysSomething(wishes: Wishes): boolean {
  return Object.values(wishes).some((wish) => wish !== undefined);
}

function complete(wishes: Wishes, budget: RetryBudget): Retry | undefined {
  const { statuses = [], grpcCodes, limit = defaultLimit, perTryMs = 0, backoffMs } = wishes;
  if (limit === 0) return undefined;
  return {
    limit,
    statuses,
    ...(grpcCodes === undefined ? {} : { grpcCodes }),
    perTryMs,
    backoff: backoffMs === undefined ? defaultRetryBackoff : backoffFrom(backoffMs),
    maxBodyBytes: defaultRetryBodyBytes,
    budget,
  };
}

/** A wait of nothing could not grow. */
function backoffFrom(askedMs: number): Backoff {
  const minMs = Math.max(askedMs, 1);
  return { minMs, maxMs: minMs * backoffGrowth, jitter: defaultRetryBackoff.jitter };
}
