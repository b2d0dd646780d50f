/**
 * The `aws` block of a kgateway Backend, in both spellings: `lambda` with `auth`, and the older `lambdaFunctions` with `secretRef`, of which a filter of kind
 * Parameter beside the backendRef picks one.
 */
import { type Field, quote } from "./field.ts";

export type LambdaTarget = {
  readonly kind: "lambda";
  readonly region: string;
  /** Empty: functions are called by their name alone, in the account of the keys. */
  readonly accountId: string;
  /** Empty: the public address of the region. */
  readonly endpointUrl: string;
  /** Secret of the same namespace with the keys. */
  readonly secretName: string;
  /** Never empty. */
  readonly functions: readonly LambdaSpec[];
};

export type LambdaSpec = {
  /** What a Parameter calls it; empty in the newer spelling, which has a single function. */
  readonly logicalName: string;
  readonly name: string;
  readonly qualifier: string;
  readonly mode: "sync" | "async";
  readonly payload: "envoy" | "none";
};

const defaultRegion = "us-east-1";

const latestQualifier = "$LATEST";

export function readLambda(aws: Field, namespace: string): LambdaTarget {
  const { lambda, old, auth } = spellings(aws);
  return {
    kind: "lambda",
    region: readMatching(aws.at("region"), /^[a-z0-9-]{1,63}$/, "an AWS region") ?? defaultRegion,
    accountId: readAccount(aws.at("accountId"), lambda.at("accountId")),
    endpointUrl: readEndpoint(lambda.at("endpointURL")),
    secretName: readSecretName(auth, aws.at("secretRef"), namespace),
    functions: old.isPresent ? readOldFunctions(old) : [readFunction(lambda)],
  };
}

function spellings(aws: Field): {
  readonly lambda: Field;
  readonly old: Field;
  readonly auth: Field;
} {
  const lambda = aws.at("lambda");
  const old = aws.at("lambdaFunctions");
  const auth = aws.at("auth");
  if (aws.at("ec2").isPresent) aws.at("ec2").fault("is not supported: use lambda");
  else if (lambda.isPresent === old.isPresent) {
    aws.fault("must have exactly one of lambda and lambdaFunctions");
  }
  if (auth.isPresent && aws.at("secretRef").isPresent) {
    aws.fault("must have at most one of auth and secretRef");
  }
  return { lambda, old, auth };
}

/** Whoever runs the sidecars has an identity of the mesh, not one of AWS: without keys nothing could be signed. */
function readSecretName(auth: Field, secretRef: Field, namespace: string): string {
  if (secretRef.isPresent) return readOwnSecret(secretRef, namespace);
  const type = auth.required().at("type").required();
  if (type.optionalChoice(["Secret", "AssumeRole"]) === "AssumeRole") {
    type.fault('"AssumeRole" is not supported: use "Secret"');
    return "";
  }
  return readOwnSecret(auth.at("secretRef").required(), namespace);
}

/** Else whoever may write a Backend could use the keys of any other namespace. */
function readOwnSecret(field: Field, namespace: string): string {
  const given = field.at("namespace").optionalText() ?? namespace;
  if (given !== namespace) {
    field
      .at("namespace")
      .fault(`must be that of the Backend, ${quote(namespace)}, is ${quote(given)}`);
  }
  return field.at("name").text();
}

/** It has stood in both places. */
function readAccount(outer: Field, inner: Field): string {
  const read = (field: Field): string | undefined =>
    readMatching(field, /^[0-9]{12}$/, "an AWS account of 12 digits");
  const [first, second] = [read(outer), read(inner)];
  if (first !== undefined && second !== undefined && first !== second) {
    inner.fault(
      `must be the same as the accountId around it, ${quote(first)}, is ${quote(second)}`,
    );
  }
  return first ?? second ?? "";
}

/** Scheme, host and port: the path of a request to Lambda says which function is meant. */
function readEndpoint(field: Field): string {
  const pattern = /^https?:\/\/([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?\/?$/;
  const text = readMatching(field, pattern, 'a URL like "https://host:port"');
  return text?.replace(/\/$/, "") ?? "";
}

function readFunction(field: Field): LambdaSpec {
  return {
    logicalName: "",
    name: readFunctionName(field.at("functionName")),
    qualifier: readQualifier(field.at("qualifier")),
    mode:
      field.at("invocationMode").choice(["Sync", "Async"], "Sync") === "Sync" ? "sync" : "async",
    payload:
      field.at("payloadTransformMode").choice(["Envoy", "None"], "Envoy") === "Envoy"
        ? "envoy"
        : "none",
  };
}

function readOldFunctions(field: Field): readonly LambdaSpec[] {
  const items = field.items();
  if (items.length === 0) field.fault("must have at least one entry");
  const names = new Set<string>();
  return items.map((item) => {
    const name = readFunctionName(item.at("lambdaFunctionName"));
    const logicalName = item.at("logicalName").optionalText() ?? name;
    if (names.has(logicalName)) {
      item.at("logicalName").fault(`must be unique, ${quote(logicalName)} stands twice`);
    }
    names.add(logicalName);
    const qualifier = readQualifier(item.at("qualifier"));
    return { logicalName, name, qualifier, mode: "sync", payload: "envoy" };
  });
}

function readFunctionName(field: Field): string {
  const wanted = "a function name (1 to 140 of letters, digits, - and _)";
  return readMatching(field.required(), /^[A-Za-z0-9_-]{1,140}$/, wanted) ?? "";
}

function readQualifier(field: Field): string {
  const wanted = `a version, an alias or ${quote(latestQualifier)}`;
  return readMatching(field, /^(\$LATEST|[A-Za-z0-9_-]{1,128})$/, wanted) ?? latestQualifier;
}

function readMatching(field: Field, pattern: RegExp, wanted: string): string | undefined {
  const text = field.optionalText();
  if (text === undefined || pattern.test(text)) return text;
  field.fault(`must be ${wanted}, is ${quote(text)}`);
  return undefined;
}
