/** Random requests and clients that the policies of model.ts tell apart. */
import fc from "fast-check";
import type { Peer } from "../../src/core/decide/admit.ts";
import type { RequestView } from "../../src/core/decide/find-route.ts";
import { anyIp } from "./backend.ts";
import { identities } from "./model.ts";

export type RequestData = Omit<RequestView, "header"> & {
  readonly headers: Readonly<Record<string, string>>;
};

export function viewOf({ headers, ...rest }: RequestData): RequestView {
  const byName = new Map(Object.entries(headers));
  return { ...rest, header: (name) => byName.get(name) };
}

export const anyRequest: fc.Arbitrary<RequestData> = fc.record({
  method: fc.constantFrom("GET", "GET", "POST", "PURGE", "get"),
  path: fc.constantFrom("/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/A", "/a//b", "/b/b"),
  query: fc.constantFrom("", "q=1", "q=2&q=1", "Q=1&r=2", "q=1,+2&r=12", "%71=1", "q", "rq=1"),
  authority: fc.constantFrom(
    "example.com",
    "A.example.com:8080",
    "b.a.example.com.",
    "xexample.com",
    "com",
    "10.0.0.1:80",
  ),
  headers: fc.dictionary(
    fc.constantFrom("x-one", "x-two"),
    fc.constantFrom("1", "2", "12", "1, 2", ""),
  ),
});

export const anyPeer: fc.Arbitrary<Peer> = fc
  .record({
    ip: anyIp,
    tls: fc.boolean(),
    identity: fc.option(fc.constantFrom(...identities, "x"), { nil: undefined }),
  })
  .map(({ ip, tls, identity }) => ({ ip, tls, identity: tls ? identity : undefined }));
