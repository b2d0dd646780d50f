/**
 * One service of the control plane as the main thread sees it: its channel, and whether any of the streams that were open
 * on it is lost. Every stream speaks for itself on `/policy`; the log tells once that the service went away and once that
 * it is back, however many streams there are.
 */
import type { GrpcChannel } from "../edge/grpc/client.ts";
import type { Log } from "../edge/telemetry/log.ts";

export type ServiceName = "policy" | "destination";

export class ControlService {
  readonly name: ServiceName;
  readonly channel: GrpcChannel;
  readonly #log: Log;
  readonly #lost = new Set<object>();

  constructor(name: ServiceName, channel: GrpcChannel, log: Log) {
    this.name = name;
    this.channel = channel;
    this.#log = log;
  }

  /** No stream waits for its return. */
  get connected(): boolean {
    return this.#lost.size === 0;
  }

  /** Whether it has been there once. What it said then counts on while it is away, so there is no way back. */
  get wasReached(): boolean {
    return this.channel.wasConnected();
  }

  streamLost(stream: object, reason: string): void {
    const before = this.connected;
    this.#lost.add(stream);
    if (before) this.#log.warn("control_plane_lost", { service: this.name, reason });
  }

  /** The stream works, was refused by a service that is there, or is no longer wanted. */
  streamSettled(stream: object): void {
    if (!this.#lost.delete(stream)) return;
    if (this.connected) this.#log.info("control_plane_back", { service: this.name });
  }

  close(): void {
    this.channel.close();
  }
}
