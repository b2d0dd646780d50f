/**
 * A golden file: one stream of YAML documents. The first asks questions, the next are Kubernetes objects, and from the
 * first document with the key `stage` on stands what becomes of them, which UPDATE_GOLDEN=1 writes.
 */
import { isDeepStrictEqual } from "node:util";
import { toJson } from "@bufbuild/protobuf";
import { parseAllDocuments, visit, Document as YamlDocument } from "yaml";
import { normaliseAuthority, targetOf } from "../../src/core/model/authority.ts";
import { describeMeta, type Meta } from "../../src/core/model/meta.ts";
import {
  endpointStages,
  inboundStages,
  outboundStages,
  profileStages,
} from "../../src/core/pipeline.ts";
import type { Condition } from "../../src/core/resolve/conditions.ts";
import { type ObjectStatus, resolveStatus } from "../../src/core/resolve/status.ts";
import { buildStore, type Store } from "../../src/core/resolve/store.ts";
import type { BrokenResource } from "../../src/core/resource/broken.ts";
import type { ParentRef } from "../../src/core/resource/reference.ts";
import type { Resource } from "../../src/core/resource/resource.ts";
import { type Cidr, formatCidr } from "../../src/core/std/ip.ts";
import { Secret } from "../../src/core/std/secret.ts";
import {
  DestinationProfileSchema,
  UpdateSchema,
} from "../../src/core/wire/gen/linkerd/destination_pb.ts";
import { ServerSchema } from "../../src/core/wire/gen/linkerd/inbound_pb.ts";
import { OutboundPolicySchema } from "../../src/core/wire/gen/linkerd/outbound_pb.ts";
import type { OutboundQuestion } from "../../src/core/wire/outbound.ts";
import { readObject } from "../../src/edge/files/read-object.ts";
import { loadSchemas } from "../../src/edge/schema/schema-set.ts";
import { admitsText, inboundLines, outboundLines } from "../core/resolve/summary.ts";
import { settings } from "../core/resolve/world.ts";

export type CaseFile = {
  /** Questions and objects, as a person wrote them. */
  readonly given: string;
  /** From the first stage on; empty in a new file. */
  readonly expected: string;
};

type Question =
  /** `a.demo:8080`, asked by a pod of the namespace `from`. */
  | { readonly outbound: string; readonly from: string }
  /** `demo/web-1:8080`. */
  | { readonly inbound: string }
  /** `a.demo:8080`, asked by the pod `demo/web-1`, or by nobody in particular. */
  | { readonly endpoints: string; readonly from?: string };

const schemas = loadSchemas(new URL("../../chart/crds", import.meta.url).pathname);

export function splitCase(text: string): CaseFile {
  const at = text.search(/^---\nstage: /m);
  return at < 0
    ? { given: text, expected: "" }
    : { given: text.slice(0, at), expected: text.slice(at) };
}

/** What the stages say about the objects, in the form that the golden file keeps. */
export function runCase(given: string): string {
  const [ask, ...objects] = parseAllDocuments(given).map((document) => document.toJS() as unknown);
  const resources: Resource[] = [];
  const broken: BrokenResource[] = [];
  const documents: string[] = [];
  for (const json of objects) {
    const reading = readObject(json, schemas);
    for (const { path, reason, severity } of reading.faults) {
      documents.push(`${severity}: ${reading.title}: ${path === "" ? "" : `${path} `}${reason}`);
    }
    if (reading.state === "good") resources.push(reading.resource);
    if (reading.state === "broken") {
      const { key, faults, scope } = reading;
      broken.push({ ...key, faults, scope, source: "" });
    }
  }
  const store = buildStore({ resources, broken, unreadableAtStart: false });
  const statuses = resolveStatus(store, settings);
  return [
    ...(documents.length === 0 ? [] : [stage("documents", { faults: documents })]),
    ...(statuses.length === 0 ? [] : [stage("conditions", conditionsOf(statuses))]),
    ...questionsOf(ask).flatMap((question) => answer(store, question)),
  ].join("");
}

function questionsOf(ask: unknown): readonly Question[] {
  if (typeof ask === "object" && ask !== null && "ask" in ask && Array.isArray(ask.ask)) {
    return ask.ask as readonly Question[];
  }
  throw new Error("Begin a golden file with a document that has the key ask");
}

function answer(store: Store, question: Question): readonly string[] {
  if ("outbound" in question) return outboundAnswer(store, question);
  return "inbound" in question
    ? inboundAnswer(store, question.inbound)
    : endpointsAnswer(store, question);
}

function outboundAnswer(
  store: Store,
  { outbound, from }: Extract<Question, { outbound: string }>,
): readonly string[] {
  const of = `outbound ${outbound} from ${from}`;
  const workload = { namespace: from, pod: "client" };
  const target = targetOf(canonical(outbound));
  const stages = outboundStages(store, settings, { workload, target });
  if ("unknown" in stages) return [stage("unknown", { of, reason: stages.unknown })];
  const { model, wire, faults, table } = stages.policy;
  return [
    stage("words", { of, protocol: model.protocol, rules: outboundLines(model) }),
    stage("model", { of, ...model }),
    stage("wire", { of, message: toJson(OutboundPolicySchema, wire), faults }),
    ...profileAnswer(store, of, { workload, target }),
    stage("table", { of, ...table }),
  ];
}

/** Only a ServiceProfile that somebody wrote has anything to tell. */
function profileAnswer(store: Store, of: string, question: OutboundQuestion): readonly string[] {
  const stages = profileStages(store, settings, question);
  if ("unknown" in stages || stages.policy.model.source === undefined) return [];
  const { model, wire, faults } = stages.policy;
  return [
    stage("profile", { of, ...model }),
    stage("profile wire", { of, message: toJson(DestinationProfileSchema, wire), faults }),
  ];
}

function inboundAnswer(store: Store, inbound: string): readonly string[] {
  const of = `inbound ${inbound}`;
  const [, namespace = "", pod = "", port = ""] = /^(.*)\/(.*):(.*)$/.exec(inbound) ?? [];
  const question = { workload: { namespace, pod }, port: Number(port) };
  const stages = inboundStages(store, settings, question);
  if ("unknown" in stages) return [stage("unknown", { of, reason: stages.unknown })];
  const { model, wire, faults, table } = stages.policy;
  const { group: _, ...server } = model.server;
  const words = {
    of,
    protocol: model.protocol,
    server,
    authorizations: model.authorizations.map(admitsText),
    rules: inboundLines(model),
  };
  return [
    stage("words", words),
    stage("model", { of, ...model }),
    stage("wire", { of, message: toJson(ServerSchema, wire), faults }),
    stage("table", { of, ...table }),
  ];
}

function endpointsAnswer(
  store: Store,
  { endpoints, from }: Extract<Question, { endpoints: string }>,
): readonly string[] {
  const of = `endpoints ${endpoints}${from === undefined ? "" : ` from ${from}`}`;
  const [namespace = "", pod = ""] = (from ?? "").split("/");
  const client = from === undefined ? undefined : { namespace, pod };
  const stages = endpointStages(store, settings, canonical(endpoints), client);
  const { model, wire, faults, table } = stages;
  return [
    stage("model", { of, ...model }),
    stage("wire", { of, messages: wire.map((update) => toJson(UpdateSchema, update)), faults }),
    stage("table", { of, ...table }),
  ];
}

function canonical(authority: string): string {
  const found = normaliseAuthority(authority, "", settings.clusterDomain);
  if (found === undefined) throw new Error(`Write host:port instead of "${authority}"`);
  return found;
}

/** `HTTPRoute demo/r: { Service demo/a: { Accepted: True Accepted } }`. */
function conditionsOf(statuses: readonly ObjectStatus[]): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    statuses.map(({ kind, namespace, name, conditions, parents }) => [
      `${kind} ${namespace}/${name}`,
      parents.length === 0
        ? verdictsOf(conditions)
        : Object.fromEntries(
            parents.map(({ parentRef, conditions: ofParent }) => [
              describeParent(parentRef),
              verdictsOf(ofParent),
            ]),
          ),
    ]),
  );
}

function describeParent({ kind, namespace, name, port, sectionName }: ParentRef): string {
  return [`${kind} ${namespace}/${name}`, port, sectionName]
    .filter((part) => part !== undefined)
    .join(":");
}

function verdictsOf(conditions: readonly Condition[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    conditions.map(({ type, status, reason, message }) => [
      type,
      `${status} ${reason}${message === "" ? "" : `: ${message}`}`,
    ]),
  );
}

/** What fits on a line stands on one, so that a person can take in the whole. */
const lineWidth = 76;

function stage(name: string, content: Readonly<Record<string, unknown>>): string {
  const document = new YamlDocument(present({ stage: name, ...content }), {
    aliasDuplicateObjects: false,
    keepUndefined: false,
  });
  const root = document.contents;
  visit(document, {
    Collection: (_key, node) => {
      if (node !== root && JSON.stringify(node.toJS(document)).length < lineWidth) node.flow = true;
      return undefined;
    },
  });
  return `---\n${document.toString({ lineWidth: 0, flowCollectionPadding: true })}`;
}

/** The same data with less to read: names and networks as text, and the twin of `http1` not written out again. */
function present(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(present);
  if (typeof value !== "object" || value === null) return value;
  if (isMeta(value))
    return `${value.type === "resource" ? `${value.group} ` : ""}${describeMeta(value)}`;
  if (isCidr(value)) return formatCidr(value);
  const entries = Object.entries(value).map(
    ([key, inner]) => [key, secretKeys.has(key) ? redacted(inner) : present(inner)] as const,
  );
  const object = new Map<string, unknown>(entries);
  if (object.has("http2") && isDeepStrictEqual(object.get("http1"), object.get("http2"))) {
    object.set("http2", "as http1");
  }
  return Object.fromEntries(object);
}

/** On the wire and in a table the keys of a function are plain text. What stands for one here says only whether it is there. */
const secretKeys: ReadonlySet<string> = new Set(["accessKey", "secretKey", "sessionToken"]);

function redacted(value: unknown): string {
  const text = value instanceof Secret ? value.reveal() : value;
  return text === "" ? "" : "[redacted]";
}

function isMeta(value: object): value is Meta {
  return "type" in value && (value.type === "resource" || value.type === "default");
}

function isCidr(value: object): value is Cidr {
  return "ip" in value && "prefix" in value;
}
