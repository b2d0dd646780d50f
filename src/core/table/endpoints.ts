import type { Endpoint, EndpointSet } from "../model/endpoint.ts";

/** The endpoints of one authority (`backend-a.demo.svc.cluster.local:8080`), replaced whole on every change. */
export type EndpointTable = {
  readonly exists: boolean;
  readonly endpoints: readonly Endpoint[];
};

export function endpointTable({ exists, endpoints }: EndpointSet): EndpointTable {
  return { exists, endpoints };
}
