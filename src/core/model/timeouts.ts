/** Limits of time for one exchange, in milliseconds; 0: no limit. */
export type Timeouts = {
  /** The whole exchange as the client sees it, all tries included (Gateway API HTTPRouteTimeouts.request). */
  readonly requestMs: number;
  /** One try, from its first byte to the end of its response (HTTPRouteTimeouts.backendRequest). */
  readonly backendRequestMs: number;
  /** From the end of the request to the end of the response (`timeout.linkerd.io/response`). */
  readonly responseMs: number;
  /** Silence in both directions (`timeout.linkerd.io/idle`). */
  readonly idleMs: number;
};

export const noTimeouts: Timeouts = {
  requestMs: 0,
  backendRequestMs: 0,
  responseMs: 0,
  idleMs: 0,
};
