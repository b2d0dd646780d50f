import type { MessageInitShape } from "@bufbuild/protobuf";
import type { SessionPersistence } from "../model/session.ts";
import { isToken } from "../std/field.ts";
import { report, type Trace } from "./decode.ts";
import { fromWireDuration, toWireDuration } from "./duration.ts";
import type {
  SessionPersistenceSchema,
  SessionPersistence as WireSession,
} from "./gen/weft/extensions_pb.ts";

/** Gateway API's. */
const defaultCookiePath = "/";

export function toWireSession({
  type,
  name,
  cookiePath,
  lifetime,
  absoluteMs,
  idleMs,
}: SessionPersistence): MessageInitShape<typeof SessionPersistenceSchema> {
  return {
    type:
      type === "header"
        ? { case: "header", value: { name } }
        : {
            case: "cookie",
            value: { name, path: cookiePath, permanent: lifetime === "permanent" },
          },
    ...(absoluteMs === 0 ? {} : { absolute: toWireDuration(absoluteMs) }),
    ...(idleMs === 0 ? {} : { idle: toWireDuration(idleMs) }),
  };
}

/** Undefined: clients could not be led back to where they were. A header has neither a path nor a lifetime. */
export function fromWireSession(
  { type, absolute, idle }: WireSession,
  trace: Trace,
): SessionPersistence | undefined {
  const broken = (reason: string): undefined => void report(trace, reason);
  const absoluteMs = absolute === undefined ? 0 : fromWireDuration(absolute);
  const idleMs = idle === undefined ? 0 : fromWireDuration(idle);
  if (absoluteMs === undefined || idleMs === undefined) return broken("has a negative timeout");
  if (type.case === undefined) return broken("is of no known type");
  const { name } = type.value;
  if (!isToken(name)) return broken("has no usable name");
  if (type.case === "header") {
    return { type: "header", name, cookiePath: "", lifetime: "session", absoluteMs, idleMs };
  }
  const cookiePath = type.value.path || defaultCookiePath;
  if (!isCookiePath(cookiePath)) return broken("has a cookie path that does not begin with /");
  if (type.value.permanent && absoluteMs === 0) {
    return broken("has a permanent cookie without an end");
  }
  const lifetime = type.value.permanent ? "permanent" : "session";
  return { type: "cookie", name, cookiePath, lifetime, absoluteMs, idleMs };
}

/** RFC 6265 §4.1.1: no control character and no semicolon, which would begin another attribute. */
function isCookiePath(path: string): boolean {
  return /^\/[\u0020-\u003a\u003c-\u007e]*$/.test(path);
}
