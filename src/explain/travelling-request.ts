/** A request on its way through filters, which change it step by step. Routes judge what it is when it gets to them. */
import type { RequestView } from "../core/decide/find-route.ts";
import type { HeaderModifier } from "../core/model/filter.ts";

/** All strings hold octets (Latin-1). Names of headers are in lower case; the values of repeated ones are joined. */
export type TravellingRequest = {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly authority: string;
  readonly headers: ReadonlyMap<string, string>;
};

export function viewOf({ headers, ...rest }: TravellingRequest): RequestView {
  return { ...rest, header: (name) => headers.get(name) };
}

/** In the order remove, set, add. The Host is the authority. */
export function modifyHeaders(
  request: TravellingRequest,
  { remove, set, add }: HeaderModifier,
): TravellingRequest {
  const headers = new Map(request.headers);
  for (const name of remove) headers.delete(name.toLowerCase());
  for (const { name, value } of set) headers.set(name.toLowerCase(), octets(value));
  for (const { name, value } of add) {
    const before = headers.get(name.toLowerCase());
    const text = octets(value);
    headers.set(name.toLowerCase(), before === undefined ? text : `${before}, ${text}`);
  }
  return { ...request, headers, authority: headers.get("host") ?? request.authority };
}

export function withHost(request: TravellingRequest, host: string): TravellingRequest {
  return { ...request, authority: host, headers: new Map(request.headers).set("host", host) };
}

/** Values of a policy travel as UTF-8. */
function octets(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}
