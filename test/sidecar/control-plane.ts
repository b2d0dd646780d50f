/**
 * A control plane in the test's hands: real gRPC servers on loopback with real messages, which answer what the test tells
 * them to, and can be stopped and started again on the same ports.
 */
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { EndpointSet } from "../../src/core/model/endpoint.ts";
import { grpcCode } from "../../src/core/model/grpc-status.ts";
import type { InboundPolicy } from "../../src/core/model/inbound-policy.ts";
import type { OutboundPolicy } from "../../src/core/model/outbound-policy.ts";
import type { Profile } from "../../src/core/model/profile.ts";
import { toWireUpdates } from "../../src/core/wire/endpoint.ts";
import {
  Destination,
  type DestinationProfile,
  type Update,
} from "../../src/core/wire/gen/linkerd/destination_pb.ts";
import {
  type CertifyRequest,
  type CertifyResponse,
  CertifyResponseSchema,
  Identity,
} from "../../src/core/wire/gen/linkerd/identity_pb.ts";
import { InboundServerPolicies, type Server } from "../../src/core/wire/gen/linkerd/inbound_pb.ts";
import {
  OutboundPolicies,
  type OutboundPolicy as WireOutbound,
} from "../../src/core/wire/gen/linkerd/outbound_pb.ts";
import { toWireInbound } from "../../src/core/wire/inbound.ts";
import { fromWireTrafficSpec, toWireOutbound } from "../../src/core/wire/outbound.ts";
import { toWireProfile } from "../../src/core/wire/profile.ts";
import { bindService, type GrpcServer, startGrpcServer } from "../../src/edge/grpc/server.ts";
import { type GrpcFailure, grpcFailure } from "../../src/edge/grpc/status.ts";
import { issueCertificate, randomSerial } from "../../src/edge/x509/certificate.ts";
import { parseCsr } from "../../src/edge/x509/csr.ts";
import { certificateToPem } from "../../src/edge/x509/pem.ts";
import { type Authority, makeAuthority } from "../edge/x509/authority.ts";

type Open<M> = {
  readonly write: (message: M) => unknown;
  readonly fail: (code: number, text: string) => void;
};

/** What the streams about one thing are told: the state now for a new one, changes for those that are open. */
class Topic<M> {
  readonly streams = new Set<Open<M>>();
  /** Undefined: nothing is said. A failure ends the stream. */
  state: readonly M[] | GrpcFailure | undefined;

  open(stream: Open<M> & { readonly onClose: (callback: () => void) => void }): void {
    this.streams.add(stream);
    stream.onClose(() => this.streams.delete(stream));
    if (this.state !== undefined) tell(stream, this.state);
  }

  change(state: readonly M[] | GrpcFailure, told: readonly M[] | GrpcFailure = state): void {
    this.state = state;
    for (const stream of this.streams) tell(stream, told);
  }
}

function tell<M>(stream: Open<M>, told: readonly M[] | GrpcFailure): void {
  if (Array.isArray(told)) for (const message of told) stream.write(message);
  else if ("code" in told) stream.fail(told.code, told.message);
}

const notFound = grpcFailure(grpcCode.notFound, "unknown target");

export class ControlPlane implements AsyncDisposable {
  readonly authority: Authority = makeAuthority();
  readonly #outbound = new Map<string, Topic<WireOutbound>>();
  readonly #inbound = new Map<number, Topic<Server>>();
  readonly #endpoints = new Map<string, Topic<Update>>();
  readonly #sets = new Map<string, EndpointSet>();
  readonly #profiles = new Map<string, Topic<DestinationProfile>>();
  readonly #servers = new Map<"policy" | "destination" | "identity", GrpcServer>();
  /** What every watch sent as `weft-api`. */
  readonly versions = new Set<string | undefined>();
  /** The questions about outbound targets, in order. */
  readonly asked: string[] = [];
  /** What `Certify` answers, when it is not a certificate for 24 hours. */
  certify: (request: CertifyRequest) => CertifyResponse | GrpcFailure = (request) =>
    this.issue(request);

  static async start(): Promise<ControlPlane> {
    const plane = new ControlPlane();
    await Promise.all([
      plane.#serve("policy"),
      plane.#serve("destination"),
      plane.#serve("identity"),
    ]);
    return plane;
  }

  get trustAnchors(): string {
    return certificateToPem(this.authority.root.certificate);
  }

  address(service: "policy" | "destination" | "identity"): string {
    return `127.0.0.1:${this.#servers.get(service)?.port}`;
  }

  /** A policy, or undefined for a destination that does not exist. */
  setOutbound(target: string, policy: OutboundPolicy | undefined): void {
    const state = policy === undefined ? notFound : [toWireOutbound(policy, { extensions: true })];
    topic(this.#outbound, target).change(state);
  }

  /** What a server should not send. */
  setRawOutbound(target: string, message: WireOutbound): void {
    topic(this.#outbound, target).change([message]);
  }

  setInbound(port: number, policy: InboundPolicy | undefined): void {
    topic(this.#inbound, port).change(policy === undefined ? notFound : [toWireInbound(policy)]);
  }

  setEndpoints(authority: string, set: EndpointSet): void {
    const before = this.#sets.get(authority);
    this.#sets.set(authority, set);
    const told = toWireUpdates(before, set);
    topic(this.#endpoints, authority).change(toWireUpdates(undefined, set), told);
  }

  /** From now on profiles are known by this service: one that is not set is waited for. */
  setProfile(target: string, profile: Profile | GrpcFailure): void {
    const state = "code" in profile ? profile : [toWireProfile(profile)];
    topic(this.#profiles, target).change(state);
  }

  /** What a server of another make sends. */
  setRawProfile(target: string, message: DestinationProfile): void {
    topic(this.#profiles, target).change([message]);
  }

  refuseEndpoints(authority: string): void {
    const failure = grpcFailure(grpcCode.invalidArgument, "no such authority");
    topic(this.#endpoints, authority).change(failure);
  }

  /** How many streams are open about this target, or authority. */
  watching(kind: "outbound" | "endpoints" | "profile", name: string): number {
    const topics = {
      outbound: this.#outbound,
      endpoints: this.#endpoints,
      profile: this.#profiles,
    }[kind];
    return topics.get(name)?.streams.size ?? 0;
  }

  async stop(service: "policy" | "destination" | "identity"): Promise<() => Promise<void>> {
    const server = this.#servers.get(service);
    await server?.close(0);
    return () => this.#serve(service, server?.port);
  }

  issue(request: CertifyRequest, lifeMs: number = 86_400_000): CertifyResponse {
    const csr = parseCsr(request.certificateSigningRequest);
    if (!csr.ok) throw new Error("The request cannot be read");
    const notAfterMs = Date.now() + lifeMs;
    const { issuer } = this.authority;
    return create(CertifyResponseSchema, {
      leafCertificate: issueCertificate({
        issuer,
        name: request.identity,
        altNames: [{ kind: "dns", value: request.identity }],
        publicKey: csr.value.publicKey,
        serial: randomSerial(),
        notBeforeMs: Date.now() - 60_000,
        notAfterMs,
      }),
      intermediateCertificates: [issuer.certificate],
      validUntil: timestampFromMs(notAfterMs),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#servers.values()].map((server) => server.close(0)));
  }

  async #serve(service: "policy" | "destination" | "identity", port = 0): Promise<void> {
    const server = await startGrpcServer({
      address: `127.0.0.1:${port}`,
      services: this.#services(service),
      onBug: (error) => {
        throw error;
      },
    });
    this.#servers.set(service, server);
  }

  #services(service: "policy" | "destination" | "identity") {
    switch (service) {
      case "policy":
        return [this.#outboundPolicies(), this.#inboundPolicies()];
      case "destination":
        return [this.#destination()];
      case "identity":
        return [bindService(Identity, { certify: async (request) => this.certify(request) })];
    }
  }

  #outboundPolicies() {
    return bindService(OutboundPolicies, {
      get: async () => notFound,
      watch: (spec, stream) => {
        this.versions.add(stream.metadata("weft-api"));
        const question = fromWireTrafficSpec(spec, "cluster.local");
        if (!question.ok) return stream.fail(grpcCode.invalidArgument, "bad question");
        const { target } = question.value;
        const name = target.kind === "authority" ? target.authority : `${target.ip}:${target.port}`;
        this.asked.push(name);
        topic(this.#outbound, name).open(stream);
      },
    });
  }

  #inboundPolicies() {
    return bindService(InboundServerPolicies, {
      getPort: async () => notFound,
      watchPort: ({ port }, stream) => {
        this.versions.add(stream.metadata("weft-api"));
        topic(this.#inbound, port).open(stream);
      },
    });
  }

  #destination() {
    return bindService(Destination, {
      get: ({ path }, stream) => {
        this.versions.add(stream.metadata("weft-api"));
        topic(this.#endpoints, path).open(stream);
      },
      getProfile: ({ path }, stream) => {
        if (this.#profiles.size > 0) topic(this.#profiles, path).open(stream);
        else stream.fail(grpcCode.unimplemented, "no profiles");
      },
    });
  }
}

function topic<K, M>(topics: Map<K, Topic<M>>, key: K): Topic<M> {
  const known = topics.get(key) ?? new Topic<M>();
  topics.set(key, known);
  return known;
}
