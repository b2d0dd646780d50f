/**
 * Session persistence of a rule (GEP-1619). The experimental field has had three spellings: `sessionName`, `idleTimeout`
 * and `cookieConfig` up to Gateway API 1.5, the same without `idleTimeout` in 1.6, `cookie` and `header` since. All are
 * read into one type, because manifests outlive the spelling they were written in.
 */

import { readDurationMs } from "./duration.ts";
import { type Field, quote } from "./field.ts";
import { readHeaderName } from "./http-header.ts";

export type SessionPersistence = {
  readonly absoluteTimeoutMs: number | undefined;
  /** Only in the oldest spelling. */
  readonly idleTimeoutMs: number | undefined;
} & (
  | {
      readonly type: "Cookie";
      /** Undefined: a generated one. */
      readonly name: string | undefined;
      readonly path: string;
      readonly lifetimeType: "Session" | "Permanent";
    }
  /** The name is undefined only in the old spellings, where it may be generated. */
  | { readonly type: "Header"; readonly name: string | undefined }
);

const oldFields = ["sessionName", "idleTimeout", "cookieConfig"] as const;
const newFields = ["cookie", "header"] as const;

export function readSessionPersistence(field: Field): SessionPersistence | undefined {
  if (!field.isPresent) return undefined;
  checkSpelling(field);
  const type = field.at("type").choice(["Cookie", "Header"] as const, "Cookie");
  const timeouts = {
    absoluteTimeoutMs: readDurationMs(field.at("absoluteTimeout")),
    idleTimeoutMs: readDurationMs(field.at("idleTimeout")),
  };
  if (type === "Header") {
    rejectFor(type, [field.at("cookie"), field.at("cookieConfig")]);
    const [header, old] = [field.at("header"), field.at("sessionName")];
    if (header.isPresent) return { ...timeouts, type, name: readHeaderName(header.at("name")) };
    return { ...timeouts, type, name: old.isPresent ? readHeaderName(old) : undefined };
  }
  rejectFor(type, [field.at("header")]);
  const cookie = field.at("cookie");
  const lifetimeType = readLifetime(cookie) ?? readLifetime(field.at("cookieConfig")) ?? "Session";
  if (lifetimeType === "Permanent" && timeouts.absoluteTimeoutMs === undefined) {
    field.at("absoluteTimeout").fault('is required for lifetimeType "Permanent"');
  }
  return {
    ...timeouts,
    type,
    name: readCookieName(cookie.at("name")) ?? readCookieName(field.at("sessionName")),
    path: readCookiePath(cookie.at("path")),
    lifetimeType,
  };
}

/** RFC 6265 §4.1.1: a token. Anything else could write attributes of its own into the cookie. */
function readCookieName(field: Field): string | undefined {
  const name = field.optionalText();
  if (name !== undefined && !/^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$/.test(name)) {
    field.fault(`must be a cookie name (RFC 6265 §4.1.1 token), is ${quote(name)}`);
  }
  return name;
}

/** RFC 6265 §4.1.1: no control characters and no semicolon. Of no path it makes the default, which is the path of the request. */
function readCookiePath(field: Field): string {
  const path = field.optionalText() ?? "/";
  if (!/^\/[\x20-\x3a\x3c-\x7e]*$/.test(path)) {
    field.fault(`must start with "/" and have no ";" (RFC 6265 §4.1.1), is ${quote(path)}`);
  }
  return path;
}

function readLifetime(field: Field): "Session" | "Permanent" | undefined {
  return field.at("lifetimeType").optionalChoice(["Session", "Permanent"] as const);
}

/** Two spellings in one object could contradict each other. */
function checkSpelling(field: Field): void {
  const old = oldFields.filter((name) => field.at(name).isPresent);
  const current = newFields.filter((name) => field.at(name).isPresent);
  if (old.length > 0 && current.length > 0) {
    field.fault(`must not mix ${old.join(" and ")} with ${current.join(" and ")}: keep the latter`);
  }
}

function rejectFor(type: string, fields: readonly Field[]): void {
  for (const field of fields) {
    if (field.isPresent) field.fault(`must be absent for type ${quote(type)}`);
  }
}
