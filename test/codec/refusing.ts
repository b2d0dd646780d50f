/** How a request is shown to be refused, and frames to put bad parts into. */
import test from "ava";
import { refusals } from "../../src/codec/refusal.ts";
import { differingCuts, latin1, readRequests } from "./read-messages.ts";

export const refuses = test.macro<[number, string]>({
  exec(t, status, request) {
    const bytes = latin1(request);
    const { refusal } = readRequests([bytes]);
    t.is(refusals[refusal]?.status ?? 0, status);
    // How much of a body passed before its refusal depends on the pieces; that it is refused, and why, does not.
    t.deepEqual(
      differingCuts(bytes, (pieces) => ({ messages: [], refusal: readRequests(pieces).refusal })),
      [],
    );
  },
  title(given, status, request) {
    const symbol = request.startsWith(chunked("")) ? "BodyReader.take()" : "parseRequestHead()";
    return `${symbol} answers ${status} to ${given ?? ""}`;
  },
});

/** A request with these field lines besides Host. */
export function withFields(...lines: readonly string[]): string {
  return `POST / HTTP/1.1\r\nHost: a\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n`;
}

export function withLine(line: string): string {
  return `${line}\r\nHost: a\r\n\r\n`;
}

export function withHost(...lines: readonly string[]): string {
  return `GET / HTTP/1.1\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n`;
}

/** A chunked request with this body. */
export function chunked(body: string): string {
  return `${withFields("Transfer-Encoding: chunked")}${body}`;
}

/** A value for a title, with everything that is not visible ASCII escaped. */
export function shown(value: string): string {
  return JSON.stringify(value).replaceAll(/[^ -~]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}
