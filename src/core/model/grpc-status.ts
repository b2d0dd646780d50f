/** The codes of gRPC, so that no other part needs its library for them, and what HTTP has in their place. */
export const grpcCode = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
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
