/**
 * The words of a command line → a question. The request goes through the parser of the proxy: what that would refuse is no
 * question, and what it reads is what is judged.
 */
import { parseRequestHead, RequestHead } from "../codec/http1-head.ts";
import { refusalOf } from "../codec/refusal.ts";
import { normaliseAuthority } from "../core/model/authority.ts";
import { isDnsLabel } from "../core/std/dns-name.ts";
import { type Ip, parseIp } from "../core/std/ip.ts";
import { type Fault, fail, fault, ok, type Result } from "../core/std/result.ts";
import type { NamedValue } from "./explanation.ts";
import type { TravellingRequest } from "./travelling-request.ts";

/** As a person typed them. */
export type Words = {
  readonly from: string;
  /** Undefined: the URL says it. */
  readonly to: string | undefined;
  /** `[METHOD] PATH`, where the path may be a URL. */
  readonly request: readonly string[];
  /** `name: value`. */
  readonly headers: readonly string[];
  readonly ip: string | undefined;
};

type Asked = Pick<Words, "to" | "request" | "headers">;

export type Question = {
  readonly client: { readonly namespace: string; readonly serviceAccount: string };
  /** Undefined: that of a pod of the account. */
  readonly ip: Ip | undefined;
  /** Canonical (see core/model/authority). */
  readonly authority: string;
  readonly request: TravellingRequest;
  /** In the order in which they were given. */
  readonly headers: readonly NamedValue[];
  readonly notes: readonly string[];
};

/** Names that only proxies of the mesh write; a sidecar takes them away from what an application says. */
const privatePrefix = "l5d-";

/** What can be wrong without a doubt about the request itself. */
const partsBeside: ReadonlySet<string> = new Set(["--from", "--ip", "--at", "--identity"]);

const usualMethods: ReadonlySet<string> = new Set(
  "GET HEAD POST PUT DELETE OPTIONS TRACE PATCH".split(" "),
);

export function readQuestion(words: Words, clusterDomain: string): Result<Question> {
  const faults: Fault[] = [];
  const client = readClient(words.from, faults);
  const ip = readIp(words.ip, faults);
  const at = { namespace: client?.namespace ?? "default", clusterDomain };
  const to = readTo(words.to, at, faults);
  const head = readHead(words, faults);
  if (head === undefined || client === undefined || faults.length > 0) return fail(...faults);
  const authority = readDestination(to, head, at);
  if (!authority.ok) return authority;
  const fields = fieldsOf(head);
  return ok({
    client,
    ip,
    authority: authority.value,
    request: requestOf(head, fields.kept),
    headers: fields.kept,
    notes: [...methodNotes(head.method), ...fields.notes],
  });
}

function readClient(text: string, faults: Fault[]): Question["client"] | undefined {
  const [namespace = "", serviceAccount = "", ...more] = text.split("/");
  if (more.length === 0 && isDnsLabel(namespace) && isDnsLabel(serviceAccount)) {
    return { namespace, serviceAccount };
  }
  const form = 'write NAMESPACE/SERVICEACCOUNT, such as "demo/frontend"';
  faults.push(fault("--from", `${form}, instead of ${JSON.stringify(text)}`));
  return undefined;
}

function readIp(text: string | undefined, faults: Fault[]): Ip | undefined {
  if (text === undefined) return undefined;
  const ip = parseIp(text);
  if (ip === undefined) {
    faults.push(fault("--ip", `write an IP address instead of ${JSON.stringify(text)}`));
  }
  return ip;
}

function readHead(words: Asked, faults: Fault[]): RequestHead | undefined {
  const [first = "", second] = words.request;
  const [method, target] = second === undefined ? ["GET", first] : [first, second];
  if (words.request.length > 2) {
    const extra = words.request.slice(2).join(" ");
    faults.push(
      fault("PATH", `write [METHOD] PATH and nothing after it: remove ${JSON.stringify(extra)}`),
    );
  }
  for (const header of words.headers) {
    if (!/^[^:]+:/.test(header)) {
      const reason = `write 'name: value' instead of ${JSON.stringify(header)}`;
      faults.push(fault("-H", reason));
    }
  }
  // A line end would begin another field, or another request.
  const all = [method, target, ...words.headers];
  const broken = all.find((word) => /[\r\n]/.test(word));
  if (broken !== undefined) {
    faults.push(fault("", `remove the line end from ${JSON.stringify(broken)}`));
  }
  if (faults.some(({ path }) => !partsBeside.has(path))) return undefined;
  return parse(method, target, words, faults);
}

function parse(
  method: string,
  target: string,
  { to, headers }: Asked,
  faults: Fault[],
): RequestHead | undefined {
  const named = headers.some((header) => /^host:/i.test(header));
  const host = /^https?:\/\/([^/?#]*)/i.exec(target)?.[1] ?? to;
  if (host === undefined) {
    faults.push(fault("--to", `${form}, or a whole URL as the path`));
    return undefined;
  }
  const lines = [
    `${method} ${target} HTTP/1.1`,
    ...(named ? [] : [`Host: ${host}`]),
    ...headers,
    "",
    "",
  ];
  const bytes = Buffer.from(lines.join("\r\n"), "utf8");
  const head = new RequestHead();
  const after = parseRequestHead(head, bytes, 0, bytes.length);
  if (after === bytes.length) return head;
  if (after >= 0) throw new Error("Wrote a head that does not end where its bytes do");
  faults.push(fault("", `the sidecar would refuse this request: ${refusalOf(after).reason}`));
  return undefined;
}

type Surroundings = { readonly namespace: string; readonly clusterDomain: string };

const form = "write SERVICE.NAMESPACE:PORT";

function readTo(
  text: string | undefined,
  { namespace, clusterDomain }: Surroundings,
  faults: Fault[],
): string | undefined {
  if (text === undefined) return undefined;
  const canonical = normaliseAuthority(text, namespace, clusterDomain);
  if (canonical === undefined) {
    faults.push(fault("--to", `${form} instead of ${JSON.stringify(text)}`));
  }
  return canonical;
}

/** `--to` is what the application connects to; the Host that it sends may be another. */
function readDestination(
  to: string | undefined,
  head: RequestHead,
  { namespace, clusterDomain }: Surroundings,
): Result<string> {
  if (head.scheme === "https") {
    return fail(fault("PATH", "write http://: inside of TLS a sidecar sees no requests"));
  }
  if (to !== undefined && head.targetForm !== "absolute") return ok(to);
  const named = normaliseAuthority(head.authority, namespace, clusterDomain);
  if (named === undefined) {
    const reason = `name a host as SERVICE.NAMESPACE:PORT instead of ${JSON.stringify(head.authority)}`;
    return fail(fault("PATH", reason));
  }
  if (to !== undefined && to !== named) {
    return fail(fault("--to", `is ${to}, and the URL names ${named}: leave one of them out`));
  }
  return ok(named);
}

/** The request alone, wherever it goes. Undefined: the faults say why. */
export function readRequest(
  words: Asked,
  faults: Fault[],
): Pick<Question, "request" | "headers" | "notes"> | undefined {
  const head = readHead(words, faults);
  if (head === undefined) return undefined;
  const { kept, notes } = fieldsOf(head);
  return {
    request: requestOf(head, kept),
    headers: kept,
    notes: [...methodNotes(head.method), ...notes],
  };
}

function requestOf(head: RequestHead, kept: readonly NamedValue[]): TravellingRequest {
  const { method, path, query, authority } = head;
  const headers = new Map<string, string>();
  for (const { name, value } of kept) {
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  return { method, path, query, authority, headers };
}

function fieldsOf({ fields }: RequestHead): {
  readonly kept: readonly NamedValue[];
  readonly notes: readonly string[];
} {
  const kept: NamedValue[] = [];
  const notes: string[] = [];
  for (let at = 0; at < fields.count; at++) {
    const name = fields.name(at);
    if (fields.hasPrefix(at, privatePrefix)) {
      notes.push(`the header ${name} is taken away: only proxies of the mesh may send it`);
    } else {
      kept.push({ name, value: fields.value(at) });
    }
  }
  return { kept, notes };
}

function methodNotes(method: string): readonly string[] {
  const upper = method.toUpperCase();
  if (method === upper || !usualMethods.has(upper)) return [];
  return [`the method ${method} is not ${upper}: methods are case-sensitive`];
}

const secretFields: ReadonlySet<string> = new Set(["authorization", "proxy-authorization"]);

/** What is told again of the question: credentials would end in a ticket or a log. */
export function withoutSecrets(headers: readonly NamedValue[]): readonly NamedValue[] {
  return headers.map(({ name, value }) => {
    if (secretFields.has(name)) return { name, value: "(not shown)" };
    // A signed token begins with an object in base64url (RFC 7515 §3.1).
    return { name, value: value.replaceAll(/eyJ[\w-]*\.[\w-]*\.[\w-]*/g, "(not shown)") };
  });
}
