/**
 * What a connection is after it has left HTTP (RFC 9110 §7.8 and §9.3.6): bytes both ways, each way with an end of its own,
 * counted and timed. A drain waits for it as it waits for a request, until the grace period is nearly over; then it is left politely.
 */
import { randomBytes } from "node:crypto";
import { goingAwayFrame, WebSocketFrames } from "../codec/websocket-frames.ts";
import type { Labels } from "./count.ts";
import type { Exchange } from "./exchange.ts";
import type { Shard } from "./shard.ts";
import { Timer } from "./timer-wheel.ts";
import { TunnelPermission } from "./tunnel-permission.ts";
import { TunnelWay } from "./tunnel-way.ts";

/** A mask of RFC 6455 §5.3. */
const maskBytes = 4;

/** A tunnel without frames through which something has gone within this time is in the middle of it. */
export const tunnelRestMs = 500;

/** Why it ended: somebody closed it, nothing was said for too long, or a policy no longer admits it. */
type Cause = "closed" | "idle" | "revoked";

export class Tunnel {
  readonly #toClient: TunnelWay;
  readonly #toServer: TunnelWay;
  readonly #isWebSocket: boolean;
  readonly #shard: Shard;
  readonly #labels: Labels;
  readonly #open: number;
  readonly #idle: Timer;
  readonly #permission: TunnelPermission | undefined;
  #cause: Cause = "closed";

  /** `abort` is to end both connections. */
  constructor(exchange: Exchange, abort: () => void) {
    const { shard, origin, head, downstream } = exchange;
    this.#shard = shard;
    this.#isWebSocket = isWebSocket(exchange);
    this.#toClient = new TunnelWay(
      {
        send: (bytes, start, end) => downstream.sendCopy(bytes, start, end),
        end: () => downstream.endTunnel(),
        closeFrame: () => goingAwayFrame(undefined),
      },
      this.#isWebSocket ? new WebSocketFrames() : undefined,
    );
    this.#toServer = new TunnelWay(
      {
        send: (bytes, start, end) => exchange.upstream?.sendCopy(bytes, start, end),
        end: () => exchange.upstream?.endTunnel(),
        closeFrame: () => goingAwayFrame(randomBytes(maskBytes)),
      },
      this.#isWebSocket ? new WebSocketFrames() : undefined,
    );
    const kind = head.method === "CONNECT" ? "connect" : "upgrade";
    this.#labels = { direction: origin.direction, kind };
    this.#idle = new Timer(() => {
      this.#cause = "idle";
      abort();
    });
    const revoke = (): void => {
      this.#cause = "revoked";
      abort();
    };
    this.#permission =
      origin.direction === "inbound" ? new TunnelPermission(exchange, revoke) : undefined;
    const { counts } = shard;
    this.#open = counts.place("weft_tunnel_open_connections", this.#labels);
    counts.add(this.#open);
    counts.add(counts.place("weft_tunnel_open_total", this.#labels));
    this.#touch();
  }

  /** The position up to which `bytes[start, end)` of the server go on to the client. */
  toClient(bytes: Buffer, start: number, end: number): number {
    this.#touch();
    return this.#toClient.pass(bytes, start, end);
  }

  /** The same the other way. */
  toServer(bytes: Buffer, start: number, end: number): number {
    this.#touch();
    return this.#toServer.pass(bytes, start, end);
  }

  /** The client has ended its way. */
  endToServer(): void {
    this.#toServer.noteEnd();
  }

  /** The server has ended its way. */
  endToClient(): void {
    this.#toClient.noteEnd();
  }

  /**
   * Ends both ways, as far as that cuts nothing off; of a WebSocket that shows later. False: it is in the middle of something that would look whole after an
   * end in order.
   */
  leave(): boolean {
    const { wheel, limits } = this.#shard;
    const restMs = limits.tunnelIdleTimeoutMs - wheel.leftMs(this.#idle);
    if (!this.#isWebSocket && restMs < tunnelRestMs) return false;
    this.#toClient.leave();
    this.#toServer.leave();
    return true;
  }

  close(): void {
    const { counts, wheel } = this.#shard;
    wheel.forget(this.#idle);
    this.#permission?.end();
    counts.add(this.#open, -1);
    const labels = { ...this.#labels, cause: this.#cause };
    counts.add(counts.place("weft_tunnel_close_total", labels));
  }
  #touch(): void {
    this.#shard.wheel.arm(this.#idle, this.#shard.limits.tunnelIdleTimeoutMs);
  }
}

/** What the server has switched to. */
function isWebSocket({ upstream }: Exchange): boolean {
  if (upstream === undefined || upstream.head.status !== 101) return false;
  const { fields, upgradeField } = upstream.head;
  return upgradeField >= 0 && fields.value(upgradeField).toLowerCase() === "websocket";
}
