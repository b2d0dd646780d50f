/** `io.linkerd.proxy.destination.Destination`: where a Service port is answered, and what an address belongs to. */
import { create, toBinary } from "@bufbuild/protobuf";
import { normaliseAuthority, parseServiceAuthority, targetOf } from "../core/model/authority.ts";
import type { EndpointSet } from "../core/model/endpoint.ts";
import { grpcCode } from "../core/model/grpc-status.ts";
import type { OutboundTarget } from "../core/model/outbound-policy.ts";
import { parseContextNamespace, parseWorkload, type Workload } from "../core/model/workload.ts";
import { endpointsSeenFrom, viewOf } from "../core/resolve/endpoints.ts";
import { resolveProfile } from "../core/resolve/profile.ts";
import type { ResolveSettings } from "../core/resolve/settings.ts";
import type { Store } from "../core/resolve/store.ts";
import { toWireUpdates } from "../core/wire/endpoint.ts";
import {
  Destination,
  type DestinationProfile,
  DestinationProfileSchema,
  type GetDestination,
  type Update,
  UpdateSchema,
} from "../core/wire/gen/linkerd/destination_pb.ts";
import { toWireProfile } from "../core/wire/profile.ts";
import { type BoundService, bindService } from "../edge/grpc/server.ts";
import { follow } from "./follow.ts";
import type { Publisher, Topics } from "./publish.ts";

const unknown = "unknown target";

export function destinationService(publisher: Publisher, settings: ResolveSettings): BoundService {
  const endpoints = endpointTopics(publisher, settings);
  const profiles = profileTopics(publisher, settings);
  return bindService(Destination, {
    get: (request, stream) => {
      const authority = authorityOf(request, settings);
      if (
        authority === undefined ||
        parseServiceAuthority(authority, settings.clusterDomain) === undefined
      ) {
        const form = `<service>.<namespace>.svc.${settings.clusterDomain}:<port>`;
        stream.fail(grpcCode.invalidArgument, `Name a Service as path: ${form}`);
        return;
      }
      // What the reader knows. A slow one is brought from there to the newest set in one step.
      let told: EndpointSet | undefined;
      follow(endpoints, stream, {
        question: { authority, client: parseWorkload(request.contextToken) },
        unknown,
        write: (next) => {
          for (const update of toWireUpdates(told, next).flatMap(inParts)) stream.write(update);
          told = next;
        },
      });
    },
    getProfile: (request, stream) => {
      const authority = authorityOf(request, settings);
      if (authority === undefined) {
        stream.fail(grpcCode.invalidArgument, "Name a host and a port as path");
        return;
      }
      const namespace = parseContextNamespace(request.contextToken);
      follow(profiles, stream, {
        question: { target: targetOf(authority), namespace },
        unknown,
        write: (message) => stream.write(message),
      });
    },
  });
}

/**
 * Addresses in one message. An address takes some 400 bytes, more with long names, and readers of gRPC commonly refuse
 * messages of more than 4 MiB.
 */
const maxAddressesInMessage = 2_000;

function inParts(update: Update): readonly Update[] {
  if (update.update.case !== "add") return [update];
  const { addrs } = update.update.value;
  const parts: Update[] = [];
  for (let at = 0; at < addrs.length; at += maxAddressesInMessage) {
    const part = addrs.slice(at, at + maxAddressesInMessage);
    parts.push(create(UpdateSchema, { update: { case: "add", value: { addrs: part } } }));
  }
  return parts;
}

type EndpointsQuestion = { readonly authority: string; readonly client: Workload | undefined };

/**
 * A Service that is not there is an answer too: the stream tells when it comes. Each client is a question of its own, because where it is may become known
 * later; but the answer is made once for all clients that see the same.
 */
function endpointTopics(
  publisher: Publisher,
  settings: ResolveSettings,
): Topics<EndpointsQuestion, EndpointSet> {
  const views = new WeakMap<Store, Map<string, EndpointSet>>();
  const encoded = new WeakMap<EndpointSet, Uint8Array>();
  return publisher.topics({
    api: "endpoints",
    keyOf: ({ authority, client }: EndpointsQuestion) =>
      client === undefined ? authority : `${authority} ${client.namespace}/${client.pod}`,
    resolve: (store, { authority, client }) => {
      const view = viewOf(store, settings, authority, client);
      const key = JSON.stringify([authority, view.zone, view.node]);
      return {
        policy: remember(remember(views, store, newMap), key, () =>
          endpointsSeenFrom(store, settings, authority, view),
        ),
      };
    },
    encode: (set) => remember(encoded, set, () => Buffer.from(JSON.stringify(set))),
  });
}

function newMap(): Map<string, EndpointSet> {
  return new Map();
}

type Memory<K, V> = { get(key: K): V | undefined; set(key: K, value: V): unknown };

function remember<K, V>(memory: Memory<K, V>, key: K, make: () => V): V {
  const known = memory.get(key);
  if (known !== undefined) return known;
  const made = make();
  memory.set(key, made);
  return made;
}

type ProfileQuestion = {
  readonly target: OutboundTarget;
  /** Of the client, whose ServiceProfiles come first. */
  readonly namespace: string | undefined;
};

function profileTopics(
  publisher: Publisher,
  settings: ResolveSettings,
): Topics<ProfileQuestion, DestinationProfile> {
  return publisher.topics({
    api: "profile",
    keyOf: ({ target, namespace = "" }: ProfileQuestion) => {
      const name = target.kind === "address" ? `${target.ip} ${target.port}` : target.authority;
      return `${namespace} ${name}`;
    },
    resolve: (store, { target, namespace }) => {
      const resolution = resolveProfile(store, settings, target, namespace);
      return "unknown" in resolution ? resolution : { policy: toWireProfile(resolution.policy) };
    },
    encode: (message) => toBinary(DestinationProfileSchema, message),
  });
}

/** Short names need the namespace of the client, which the context token tells. */
function authorityOf(
  { path, contextToken }: GetDestination,
  settings: ResolveSettings,
): string | undefined {
  const namespace = parseContextNamespace(contextToken) ?? "";
  return normaliseAuthority(path, namespace, settings.clusterDomain);
}
