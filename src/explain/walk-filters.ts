/** What filters do to one request, in their order: what they change, and whether they answer in place of a backend. */
import { failureHits, redirectLocation } from "../core/decide/apply-filters.ts";
import { isPreflight, preflight } from "../core/decide/cors.ts";
import {
  type AnyFilter,
  backendName,
  describeModifier,
  describeRatio,
  describeShare,
  shareOf,
} from "../core/decide/describe-filter.ts";
import { filterFault } from "../core/decide/filter-fault.ts";
import { rewriteHost, rewriteTarget } from "../core/decide/url-rewrite.ts";
import type { Backend } from "../core/model/backend.ts";
import type { Cors, FailureInjector, Redirect, UrlRewrite } from "../core/model/filter.ts";
import { formatDurationMs } from "../core/std/duration.ts";
import { isFieldValue } from "../core/std/field.ts";
import { unreachable } from "../core/std/unreachable.ts";
import type { FilterView } from "./explanation.ts";
import { modifyHeaders, type TravellingRequest, withHost } from "./travelling-request.ts";

export type FilterSituation = {
  /** As the rule met it: prefixes and redirects refer to that, whatever filters have changed since. */
  readonly asMatched: TravellingRequest;
  /** The prefix by which the rule took the request; undefined when it was not by a prefix. */
  readonly matchedPrefix: string | undefined;
  /** The port that the client dialed. */
  readonly listenerPort: number;
  /** Name of a backend by its place in the table. */
  readonly nameOf: (backend: number) => string;
};

/** An answer in place of a backend, and for which share (0 to 1) of the requests that came to the filters. */
export type FilterAnswer = {
  readonly share: number;
  readonly status: number;
  readonly reason: string;
};

export type Walk = {
  readonly steps: readonly FilterView[];
  readonly answers: readonly FilterAnswer[];
  /** The share that goes on. */
  readonly onward: number;
  readonly request: TravellingRequest;
};

export function walkFilters(
  filters: readonly AnyFilter[],
  request: TravellingRequest,
  situation: FilterSituation,
): Walk {
  const walk = new Walker(request, situation);
  for (const filter of filters) {
    if (walk.onward === 0) break;
    walk.take(filter);
  }
  return walk;
}

class Walker implements Walk {
  readonly steps: FilterView[] = [];
  readonly answers: FilterAnswer[] = [];
  onward = 1;
  request: TravellingRequest;
  readonly #situation: FilterSituation;

  constructor(request: TravellingRequest, situation: FilterSituation) {
    this.request = request;
    this.#situation = situation;
  }

  take(filter: AnyFilter): void {
    const fault = filterFault(filter);
    if (fault !== undefined) {
      this.#answer(filter.kind, 1, { status: 500, reason: fault });
      return;
    }
    switch (filter.kind) {
      case "request-headers":
        this.request = modifyHeaders(this.request, filter.modifier);
        this.#say(filter.kind, describeModifier("request", filter.modifier));
        break;
      case "response-headers":
        this.#say(filter.kind, describeModifier("response", filter.modifier));
        break;
      case "redirect":
        this.#redirect(filter.redirect);
        break;
      case "failure":
        this.#fail(filter.failure);
        break;
      case "url-rewrite":
        this.#rewrite(filter.rewrite);
        break;
      case "mirror": {
        const share = describeRatio(filter.mirror);
        this.#say(filter.kind, `sends a copy of ${share} to ${this.#nameOf(filter.mirror)}`);
        break;
      }
      case "cors":
        this.#cors(filter.cors);
        break;
      case "external-auth":
        this.#say(
          filter.kind,
          `asks ${this.#nameOf(filter.auth)} first, which may refuse the request`,
        );
        break;
      case "direct-response": {
        const { status } = filter.response;
        const reason = `the route answers with ${status} itself`;
        this.#answer(filter.kind, 1, { status, reason });
        break;
      }
      case "delay": {
        const wait = formatDurationMs(filter.delay.delayMs);
        this.#say(filter.kind, `makes ${describeRatio(filter.delay)} wait ${wait}`);
        break;
      }
      default:
        unreachable(filter);
    }
  }

  #redirect(redirect: Redirect): void {
    const { asMatched, matchedPrefix, listenerPort } = this.#situation;
    const view = { ...asMatched, scheme: "http" as const };
    const found = redirectLocation(redirect, view, matchedPrefix, listenerPort);
    if (found === undefined || !isFieldValue(found.location)) {
      const reason = "the redirect of the rule cannot be made";
      this.#answer("redirect", 1, { status: 500, reason });
      return;
    }
    const { status, location } = found;
    this.#answer("redirect", 1, { status, reason: `redirects to ${location}` });
  }

  #fail(failure: FailureInjector): void {
    // Of numbers from 0 to 1 the smallest is hit by any share but none.
    const isHit = failureHits(failure, 0);
    const share = isHit ? shareOf(failure) : 0;
    const { status, message } = failure;
    this.#answer("failure", share, { status: finalStatus(status), reason: message });
  }

  #rewrite(rewrite: UrlRewrite): void {
    const { asMatched, matchedPrefix } = this.#situation;
    const target = rewriteTarget(rewrite, matchedPrefix, asMatched.path, asMatched.query);
    if (target === undefined) {
      const reason = "the rewrite of the rule cannot be made";
      this.#answer("url-rewrite", 1, { status: 500, reason });
      return;
    }
    if (rewrite.path !== undefined) {
      const mark = target.indexOf("?");
      this.request = { ...this.request, path: mark < 0 ? target : target.slice(0, mark) };
    }
    if (rewrite.host !== "") {
      this.request = withHost(this.request, rewriteHost(rewrite, this.request.authority));
    }
    this.#say("url-rewrite", `asks for ${target} at ${this.request.authority}`);
  }

  #cors(cors: Cors): void {
    const { method, headers } = this.#situation.asMatched;
    const header = (name: string): string | undefined => headers.get(name);
    const origin = header("origin");
    if (origin === undefined || !isPreflight(method, header)) {
      this.#say("cors", "adds what pages of other origins may read");
      return;
    }
    const granted = preflight(cors, {
      origin,
      requestedMethod: header("access-control-request-method"),
      requestedHeaders: header("access-control-request-headers"),
    });
    const text = granted.map(({ name, value }) => `${name}: ${value}`).join("; ");
    const reason =
      text === ""
        ? `answers the preflight request without permission for ${origin}`
        : `answers the preflight request with ${text}`;
    this.#answer("cors", 1, { status: 204, reason });
  }

  #answer(kind: string, share: number, answer: Omit<FilterAnswer, "share">): void {
    const { status, reason } = answer;
    this.#say(kind, `answers ${describeShare(share)} with ${status}: ${reason}`);
    if (share > 0) this.answers.push({ share: share * this.onward, ...answer });
    this.onward *= 1 - share;
  }

  #say(kind: string, text: string): void {
    this.steps.push({ kind, text });
  }

  #nameOf(of: { readonly backend: number | Backend }): string {
    return backendName(of, this.#situation.nameOf);
  }
}

/** A policy may name any number; the proxy answers 500 when it is no final status. */
function finalStatus(status: number): number {
  return Number.isInteger(status) && status >= 200 && status <= 599 ? status : 500;
}
