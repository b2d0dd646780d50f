/**
 * TLS for gRPC by the rules of the mesh: version 1.3 only, the mesh's own trust anchors, one name in each certificate. What
 * is shown can be replaced at any time, and counts from the next connection on.
 */
import type { Socket } from "node:net";
import { connect, type SecureContext } from "node:tls";
import {
  type CallCredentials,
  ChannelCredentials,
  credentials,
  ServerCredentials,
} from "@grpc/grpc-js";
import type { CredentialSlot } from "../identity/credential-slot.ts";
import { contextOptions } from "../net/mesh-tls.ts";
import { peerIdentity } from "../x509/peer-identity.ts";

export type ChannelTls = {
  /** What the server's certificate must say, byte for byte. */
  readonly serverName: string;
  /** For a connection that is opened now; it waits as long as this does. */
  readonly context: () => Promise<SecureContext>;
};

type SecureConnector = ReturnType<ChannelCredentials["_createSecureConnector"]>;

export class MeshChannelCredentials extends ChannelCredentials {
  readonly #tls: ChannelTls;

  constructor(tls: ChannelTls) {
    super();
    this.#tls = tls;
  }

  override _isSecure(): boolean {
    return true;
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(
    _target: unknown,
    _options: unknown,
    callCredentials: CallCredentials = credentials.createEmpty(),
  ): SecureConnector {
    const { context, serverName } = this.#tls;
    return {
      connect: async (socket) => ({
        socket: await secure(socket, await context(), serverName),
        secure: true,
      }),
      waitForReady: async () => {
        await context();
      },
      getCallCredentials: () => callCredentials,
      destroy: () => {},
    };
  }
}

/** Rejects when the other end is not the server of this name. */
function secure(socket: Socket, secureContext: SecureContext, serverName: string): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const encrypted = connect({
    socket,
    secureContext,
    servername: serverName,
    ALPNProtocols: ["h2"],
    rejectUnauthorized: true,
    // The name is checked below against the whole identity; Node's rules for host names know wildcards.
    checkServerIdentity: () => undefined,
  });
  encrypted.once("secureConnect", () => {
    const certificate = encrypted.getPeerX509Certificate();
    const name = certificate === undefined ? undefined : peerIdentity(certificate);
    if (encrypted.authorized && name === serverName) {
      resolve(encrypted);
      return;
    }
    encrypted.destroy();
    reject(new Error(`the server is "${name ?? "nobody"}" instead of "${serverName}"`));
  });
  // The library listens for itself once it has the socket.
  encrypted.on("error", reject);
  return promise;
}

/** `required`: who shows no certificate of the mesh does not get a connection. `unasked`: for those who come for their first. */
export type ClientCertificates = "required" | "unasked";

export class MeshServerCredentials extends ServerCredentials {
  constructor(slot: CredentialSlot, clients: ClientCertificates) {
    const isAsked = clients === "required";
    super({ requestCert: isAsked, rejectUnauthorized: isAsked, minVersion: "TLSv1.3" });
    slot.onPut((shown) => this.updateSecureContextOptions(contextOptions(shown)));
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}
