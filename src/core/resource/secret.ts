/**
 * Secrets, of which only the keys that somebody reads are kept. No value of a Secret is ever quoted in a fault, and annotations are thrown away: `kubectl apply`
 * writes a copy of the object there.
 */
import type { Fault, Result } from "../std/result.ts";
import { Secret } from "../std/secret.ts";
import { FaultList, Field, isRecord } from "./field.ts";
import { type ObjectMeta, readMeta } from "./object-meta.ts";

export type KubernetesSecret = {
  readonly kind: "Secret";
  readonly group: "";
  readonly meta: ObjectMeta;
  readonly values: ReadonlyMap<SecretKey, Secret>;
};

/** What kgateway's Backends read: the credentials of an AWS account. */
const secretKeys = ["accessKey", "secretKey", "sessionToken"] as const;

type SecretKey = (typeof secretKeys)[number];

/** AWS session tokens may have some thousand characters. */
const maxValueLength = 16_384;

export function parseSecret(json: unknown, known: readonly Fault[] = []): Result<KubernetesSecret> {
  const list = new FaultList(known);
  const root = new Field(json, list);
  const { name, namespace, creationTimestampMs, generation } = readMeta(
    root.at("metadata"),
    "dns-name",
  );
  const nothing: ReadonlyMap<string, string> = new Map();
  return list.settle<KubernetesSecret>({
    kind: "Secret",
    group: "",
    meta: {
      name,
      namespace,
      creationTimestampMs,
      generation,
      labels: nothing,
      annotations: nothing,
    },
    values: readValues(root),
  });
}

function readValues(root: Field): KubernetesSecret["values"] {
  const data = recordAt(root, "data");
  const plain = recordAt(root, "stringData");
  const values = new Map<SecretKey, Secret>();
  for (const key of secretKeys) {
    // Kubernetes: where a key stands in both, stringData is taken.
    const value = readPlain(plain, key) ?? readEncoded(data, key);
    if (value !== undefined) values.set(key, new Secret(value));
  }
  return values;
}

/** `Field.at` would quote what it finds in place of an object. */
function recordAt(root: Field, name: string): Field | undefined {
  const field = root.at(name);
  if (!field.isPresent) return undefined;
  if (isRecord(field.json)) return field;
  field.fault("must be an object");
  return undefined;
}

function textAt(data: Field | undefined, key: SecretKey): [Field, string] | undefined {
  const field = data?.at(key);
  if (field?.isPresent !== true) return undefined;
  if (typeof field.json === "string" && field.json.length <= maxValueLength) {
    return [field, field.json];
  }
  field.fault(`must be text of at most ${maxValueLength} characters`);
  return undefined;
}

function readPlain(data: Field | undefined, key: SecretKey): string | undefined {
  const found = textAt(data, key);
  return found === undefined ? undefined : checked(...found);
}

function readEncoded(data: Field | undefined, key: SecretKey): string | undefined {
  const found = textAt(data, key);
  if (found === undefined) return undefined;
  const [field, text] = found;
  const bytes = decodeBase64(text);
  if (bytes !== undefined) return checked(field, String.fromCharCode(...bytes));
  field.fault("must be base64 (RFC 4648 §4)");
  return undefined;
}

function decodeBase64(text: string): Uint8Array | undefined {
  try {
    return Uint8Array.fromBase64(text, { lastChunkHandling: "strict" });
  } catch {
    // The value must not be told, and neither must the error's text, which may quote it.
    return undefined;
  }
}

/** A line end at the end of a key, which `echo` leaves, would only be found by AWS. */
function checked(field: Field, text: string): string {
  if (!/^[!-~]+$/.test(text)) {
    field.fault("must be visible ASCII without blanks and line ends");
  }
  return text;
}
