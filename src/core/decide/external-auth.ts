/** Gateway API HTTPExternalAuthFilter: what is shown to the service that is asked, and what its answer means. Whatever is not a clear yes is a no. */
import type { ExternalAuth, HeaderValue } from "../model/filter.ts";
import { trimPrefix } from "../table/http-route.ts";

/**
 * The client's answer when the authorization service cannot be asked, takes too long or says nothing that can be read. Envoy's default too: to the client, being refused and
 * not being allowed are the same.
 */
const noVerdictStatus = 403;

/** These belong to one connection and one message (RFC 9110 §7.6.1, RFC 9112 §6): the sender of the next message writes its own. */
const messageHeaders: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/**
 * The headers of the request that the service sees. Names are in lower case. HTTP: the listed ones and Authorization; Host, method, path and Content-Length are the
 * auth request's own. gRPC: the listed ones, or all.
 */
export function shownHeaders(
  { protocol, requestHeaders }: Pick<ExternalAuth, "protocol" | "requestHeaders">,
  headers: readonly HeaderValue[],
): readonly HeaderValue[] {
  if (protocol === "grpc") {
    const all = requestHeaders.length === 0;
    return headers.filter(({ name }) => all || requestHeaders.includes(name));
  }
  return headers.filter(
    ({ name }) =>
      !messageHeaders.has(name) && (name === "authorization" || requestHeaders.includes(name)),
  );
}

/** The target of the HTTP auth request: the prefix, then path and query of the request. */
export function authTarget(
  { pathPrefix }: Pick<ExternalAuth, "pathPrefix">,
  target: string,
): string {
  const prefix = trimPrefix(pathPrefix);
  return prefix === "" || prefix.startsWith("/") ? `${prefix}${target}` : `/${prefix}${target}`;
}

/**
 * What to do with the body: hide it, collect and show it, or refuse the request. `bodyBytes` is undefined when the length is not known; the caller then collects up to
 * `maxBodyBytes` and asks again.
 */
export function bodyShowing(
  { maxBodyBytes }: Pick<ExternalAuth, "maxBodyBytes">,
  bodyBytes: number | undefined,
): "hide" | "show" | "too-large" {
  if (maxBodyBytes === 0) return "hide";
  return (bodyBytes ?? 0) > maxBodyBytes ? "too-large" : "show";
}

export type HttpVerdict =
  /** `headers` replace those of the request to the backend. */
  | { readonly kind: "allow"; readonly headers: readonly HeaderValue[] }
  /** The client gets this status, with the headers and the body of the answer. */
  | { readonly kind: "deny"; readonly status: number };

/** 200 allows; so does nothing else. */
export function httpVerdict(
  { responseHeaders }: Pick<ExternalAuth, "responseHeaders">,
  status: number,
  headers: readonly HeaderValue[],
): HttpVerdict {
  if (status !== 200) return { kind: "deny", status: denialStatus(status) };
  const all = responseHeaders.length === 0;
  const copied = headers.filter(
    ({ name }) => !messageHeaders.has(name) && (all || responseHeaders.includes(name)),
  );
  return { kind: "allow", headers: copied };
}

/** A refusal must not look like a success to the client, nor like an interim response: any status below 300 becomes 403. */
export function denialStatus(status: number): number {
  return status >= 300 && status <= 599 ? status : noVerdictStatus;
}
