/**
 * The certificate that a process shows, for everyone who opens or accepts connections in its name. A new one counts from the
 * next connection on; until there is a first, connections wait for it.
 */
import type { SecureContext } from "node:tls";
import { clientContext, type MeshCredentials } from "../net/mesh-tls.ts";

export class CredentialSlot {
  #current: MeshCredentials | undefined;
  readonly #first: PromiseWithResolvers<void> = Promise.withResolvers();
  readonly #listeners: ((credentials: MeshCredentials) => void)[] = [];

  put(credentials: MeshCredentials): void {
    this.#current = credentials;
    this.#first.resolve();
    for (const listener of this.#listeners) listener(credentials);
  }

  /** Called with the certificate in use, if there is one, and with every later one. */
  onPut(listener: (credentials: MeshCredentials) => void): void {
    this.#listeners.push(listener);
    if (this.#current !== undefined) listener(this.#current);
  }

  /** For a connection that is opened now. */
  async context(): Promise<SecureContext> {
    await this.#first.promise;
    if (this.#current === undefined) throw new Error("The slot was filled with nothing");
    return clientContext(this.#current);
  }
}
