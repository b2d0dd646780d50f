/** Requests that nobody thought of: valid ones, ones with damage, and ways to cut them. */
import fc from "fast-check";
import { latin1 } from "./read-messages.ts";

function letters(alphabet: string, minLength: number, maxLength: number): fc.Arbitrary<string> {
  return fc.string({ unit: fc.constantFrom(...alphabet), minLength, maxLength });
}

const alphanumeric = "abcXYZ019";
const token = letters(`${alphanumeric}!#$%&'*+-.^_\`|~`, 1, 20);
const value = fc
  .string({
    unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
    maxLength: 40,
  })
  .map((text) => text.replaceAll(/[^\t\x20-\x7e\x80-\xff]/g, ""));
const blank = letters(" \t", 0, 3);
const path = letters(`${alphanumeric}/.-_~!$&'()*+,;=:@"<>[]^\`{|}`, 0, 40).map(
  (text) => `/${text}`,
);
const query = fc.option(letters(`${alphanumeric}/?&=%\\`, 0, 30), { nil: undefined });
const host = fc.tuple(
  fc.oneof(
    letters(`${alphanumeric}-._~`, 1, 20),
    fc.ipV6().map((address) => `[${address}]`),
  ),
  fc.option(fc.integer({ min: 1, max: 65_535 }), { nil: undefined }),
);
const method = fc.oneof(fc.constantFrom("GET", "POST", "OPTIONS", "DELETE"), token);

export type Parts = {
  readonly method: string;
  readonly path: string;
  readonly query: string | undefined;
  readonly host: readonly [string, number | undefined];
  readonly absolute: boolean;
  readonly fields: readonly (readonly [string, string, string, string])[];
  readonly body: readonly string[];
  readonly framing: "none" | "length" | "chunked";
};

export const parts: fc.Arbitrary<Parts> = fc.record({
  method: method.filter((name) => name !== "CONNECT" && name !== "TRACE"),
  path,
  query: query.map((text) => text?.replaceAll("%00", "%30")),
  host,
  absolute: fc.boolean(),
  fields: fc.array(
    fc.tuple(
      token.map((name) => `x-${name}`),
      blank,
      value,
      blank,
    ),
    { maxLength: 12 },
  ),
  body: fc.array(fc.string({ unit: "binary-ascii", minLength: 1, maxLength: 30 }), {
    maxLength: 4,
  }),
  framing: fc.constantFrom("none", "length", "chunked"),
});

export function authorityOf({ host: [name, port] }: Parts): string {
  return port === undefined ? name : `${name}:${port}`;
}

export function textOf(request: Parts): string {
  const { absolute, fields, framing, body } = request;
  const target = `${absolute ? `http://${authorityOf(request)}` : ""}${request.path}${request.query === undefined ? "" : `?${request.query}`}`;
  const lines = fields.map(([name, before, text, after]) => `${name}:${before}${text}${after}\r\n`);
  const all = body.join("");
  const framed = {
    none: "",
    length: `Content-Length: ${all.length}\r\n`,
    chunked: "Transfer-Encoding: chunked\r\n",
  };
  const bodies = {
    none: "",
    length: all,
    chunked: `${body.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join("")}0\r\n\r\n`,
  };
  return `${request.method} ${target} HTTP/1.1\r\nHost: ${authorityOf(request)}\r\n${lines.join("")}${framed[framing]}\r\n${bodies[framing]}`;
}

/** A change to the bytes of a message: a span is replaced by something. */
export const mutation = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  removed: fc.integer({ min: 0, max: 3 }),
  added: fc.oneof(
    fc.string({
      unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
      maxLength: 3,
    }),
    fc.constantFrom(
      ...[
        "\r\n",
        "\n",
        "\r",
        " ",
        "\t",
        "\0",
        ":",
        ",",
        "\r\n ",
        "\r\n\r\n",
        "Content-Length: 3\r\n",
        "chunked",
        "0\r\n\r\n",
      ],
      ...[
        "Transfer-Encoding: chunked\r\n",
        "Host: b\r\n",
        "Connection: close, x-a\r\n",
        "?",
        "#",
        "%00",
        "\\",
        "@",
        "http://",
      ],
    ),
  ),
});

export function mutated(
  text: string,
  mutations: readonly { at: number; removed: number; added: string }[],
): Buffer {
  let changed = text;
  for (const { at, removed, added } of mutations) {
    const position = Math.floor(at * changed.length);
    changed = changed.slice(0, position) + added + changed.slice(position + removed);
  }
  return latin1(changed);
}

/** Cuts bytes at the given fractions of their length. */
export function cutAt(bytes: Buffer, fractions: readonly number[]): Buffer[] {
  const ends = [
    ...fractions.map((fraction) => Math.floor(fraction * bytes.length)),
    bytes.length,
  ].sort((a, b) => a - b);
  return ends
    .map((end, at) => bytes.subarray(ends[at - 1] ?? 0, end))
    .filter((piece) => piece.length > 0);
}

export const fractions: fc.Arbitrary<number[]> = fc.array(
  fc.double({ min: 0, max: 1, noNaN: true }),
  { maxLength: 5 },
);
