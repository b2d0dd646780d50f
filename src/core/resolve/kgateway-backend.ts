/** Backends of kgateway: hosts outside of the mesh, and functions of AWS Lambda. */
import type { Backend, LambdaFunction } from "../model/backend.ts";
import type { BackendProtocol, KgatewayBackend } from "../resource/backend.ts";
import type { LambdaSpec, LambdaTarget } from "../resource/backend-lambda.ts";
import type { BackendRef } from "../resource/reference.ts";
import { Secret } from "../std/secret.ts";
import type { BackendContext } from "./backend.ts";
import { ownProtocol } from "./backend-protocol.ts";
import { describeBroken } from "./broken.ts";
import { metaOf } from "./object-meta.ts";
import { type Problem, unresolved } from "./problem.ts";
import { findBroken, objectName, type Store } from "./store.ts";

export const kgatewayGroup = "gateway.kgateway.dev";

/** WebSockets and gRPC-Web are carried by either version; those who name them so mean the older one. */
const protocols: Readonly<Record<BackendProtocol, "http1" | "http2">> = {
  http2: "http2",
  grpc: "http2",
  "kubernetes.io/h2c": "http2",
  "grpc-web": "http1",
  "kubernetes.io/ws": "http1",
};

type Found = { readonly backend: Backend } | { readonly problem: Problem };

/** The port of the reference means nothing here. */
export function resolveKgatewayBackend(
  context: Pick<BackendContext, "store" | "namespace" | "protocol">,
  ref: BackendRef,
  parameter: string | undefined,
): Found {
  const { store, namespace } = context;
  const broken = findBroken(store, "Backend", ref);
  if (broken !== undefined) return refuse("BackendNotFound", describeBroken(broken));
  const object = store.kgatewayBackends.get(objectName(ref));
  if (object === undefined) return refuse("BackendNotFound", `Backend not found ${ref.name}`);
  const { target } = object;
  if (target.kind === "lambda") {
    // GEP-1294 lets a mesh ask for a grant where a reference opens what was out of reach. Here it would hand out keys.
    return ref.namespace === namespace
      ? lambdaBackend(store, object, target, parameter)
      : refuse("RefNotPermitted", `Backend ${objectName(ref)} has keys of its own namespace only`);
  }
  if (parameter !== undefined) {
    return refuse("BackendNotFound", `Backend ${ref.name} has no function ${parameter}`);
  }
  const { hosts, appProtocol } = target;
  const protocol = appProtocol === undefined ? "detect" : protocols[appProtocol];
  const dispatch = { kind: "static", hosts } as const;
  return { backend: { meta: metaOf(object), dispatch, ...ownProtocol(context, protocol) } };
}

function lambdaBackend(
  store: Store,
  object: KgatewayBackend,
  target: LambdaTarget,
  parameter: string | undefined,
): Found {
  const { namespace, name } = object.meta;
  const spec = pickFunction(target, parameter);
  if (spec === undefined) {
    const names = target.functions.map(({ logicalName }) => logicalName).join(", ");
    return parameter === undefined
      ? refuse("BackendNotFound", `Backend ${name} has several functions: name one of ${names}`)
      : refuse("BackendNotFound", `Backend ${name} has no function ${parameter}`);
  }
  const keys = findKeys(store, { namespace, name: target.secretName });
  if ("problem" in keys) return keys;
  const { region, accountId, endpointUrl } = target;
  const { name: functionName, qualifier, mode, payload } = spec;
  const lambda = {
    region,
    accountId,
    name: functionName,
    qualifier,
    mode,
    payload,
    endpointUrl,
    ...keys,
  };
  return { backend: { meta: metaOf(object), dispatch: { kind: "lambda", function: lambda } } };
}

function pickFunction(
  { functions }: LambdaTarget,
  parameter: string | undefined,
): LambdaSpec | undefined {
  if (parameter === undefined) return functions.length === 1 ? functions[0] : undefined;
  return functions.find(({ logicalName }) => logicalName === parameter);
}

type Keys = Pick<LambdaFunction, "accessKey" | "secretKey" | "sessionToken">;

function findKeys(
  store: Store,
  ref: { readonly namespace: string; readonly name: string },
): Keys | { readonly problem: Problem } {
  const broken = findBroken(store, "Secret", ref);
  if (broken !== undefined) return refuse("BackendNotFound", describeBroken(broken));
  const values = store.secrets.get(objectName(ref))?.values;
  if (values === undefined) return refuse("BackendNotFound", `Secret not found ${ref.name}`);
  const accessKey = values.get("accessKey");
  const secretKey = values.get("secretKey");
  if (accessKey === undefined || secretKey === undefined) {
    return refuse("BackendNotFound", `Secret ${ref.name} must have accessKey and secretKey`);
  }
  // Keys of a person or a machine have no token; those of a session do.
  return { accessKey, secretKey, sessionToken: values.get("sessionToken") ?? new Secret("") };
}

function refuse(
  reason: Problem["reason"],
  message: string,
): {
  readonly problem: Problem;
} {
  return { problem: unresolved(reason, message) };
}
