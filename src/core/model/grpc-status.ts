/** Codes of gRPC that policies speak of, and what HTTP has in their place. */
export const grpcCode = {
  cancelled: 1,
  unknown: 2,
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const;

/** gRPC, "HTTP to gRPC Status Code Mapping". */
const codeByStatus: ReadonlyMap<number, number> = new Map([
  [400, grpcCode.internal],
  [401, grpcCode.unauthenticated],
  [403, grpcCode.permissionDenied],
  [404, grpcCode.unimplemented],
  [429, grpcCode.unavailable],
  [502, grpcCode.unavailable],
  [503, grpcCode.unavailable],
  [504, grpcCode.unavailable],
]);

const statusByCode: ReadonlyMap<number, number> = new Map([
  [grpcCode.deadlineExceeded, 504],
  [grpcCode.notFound, 404],
  [grpcCode.permissionDenied, 403],
  [grpcCode.resourceExhausted, 429],
  [grpcCode.unimplemented, 404],
  [grpcCode.unavailable, 503],
  [grpcCode.unauthenticated, 401],
]);

export function grpcCodeOf(status: number): number {
  return codeByStatus.get(status) ?? grpcCode.unknown;
}

/** For a request that is not one of gRPC. */
export function statusOfGrpc(code: number): number {
  return statusByCode.get(code) ?? 500;
}
