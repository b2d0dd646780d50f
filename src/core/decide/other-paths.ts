/**
 * How an application may read a path otherwise than it was sent. Routes compare paths as they come (Gateway API); servers and
 * frameworks decode, merge and cut them first, each in its own way. A client that writes `/open/../closed` must not come to
 * what `/closed` is forbidden it, so where the readings differ each of them is judged.
 */

export type OtherPaths = {
  /** By the rules that all servers share: RFC 3986 §6.2.2 and repeated slashes. */
  readonly normal: string;
  /** By the habits of some: parameters of segments, backslashes, letter case, what stands at the end. */
  readonly loose: string;
};

/** Encodings of encodings. No server is known that decodes more than twice. */
const maxDecodes = 3;

const Code = { slash: 0x2f, dot: 0x2e, percent: 0x25, semicolon: 0x3b, backslash: 0x5c } as const;

/** Undefined: there is one way to read the path. */
export function otherPaths(path: string): OtherPaths | undefined {
  if (!path.startsWith("/") || path.length === 1 || isPlain(path)) return undefined;
  const normal = withoutDots(decode(path));
  const loose = loosened(path);
  return normal === path && loose === path ? undefined : { normal, loose };
}

function isPlain(path: string): boolean {
  let before = 0;
  for (let at = 0; at < path.length; at++) {
    const code = path.charCodeAt(at);
    const isUpper = code >= 0x41 && code <= 0x5a;
    if (isUpper || code === Code.percent || code === Code.semicolon || code === Code.backslash) {
      return false;
    }
    if (before === Code.slash && (code === Code.slash || code === Code.dot)) return false;
    before = code;
  }
  return before !== Code.slash && before !== Code.dot;
}

/** Only what stands for itself, or could end a segment: other octets are compared as they are written. */
function decode(path: string): string {
  return path.replaceAll(/%([0-9a-f]{2})/gi, (encoded, digits: string) => {
    const text = String.fromCharCode(Number.parseInt(digits, 16));
    return /[\w.~/\\;%-]/.test(text) ? text : encoded;
  });
}

/** RFC 3986 §5.2.4, after slashes in a row became one. */
function withoutDots(path: string): string {
  const kept: string[] = [];
  const segments = path.split("/").slice(1);
  for (const segment of segments) {
    if (segment === "..") kept.pop();
    else if (segment !== "" && segment !== ".") kept.push(segment);
  }
  const isFolder = /(?:\/|\/\.|\/\.\.)$/.test(path) && kept.length > 0;
  return `/${kept.join("/")}${isFolder ? "/" : ""}`;
}

function loosened(path: string): string {
  let text = path;
  for (let times = 0; times < maxDecodes; times++) text = decode(text);
  const cut = text
    // Octets that stand for a slash or a dot to decoders of UTF-8 that accept overlong forms.
    .replaceAll(/%c0%af|%e0%80%af/gi, "/")
    .replaceAll(/%c0%ae|%e0%80%ae/gi, ".")
    .replaceAll("\\", "/")
    .replaceAll(/;[^/]*/g, "");
  const normal = withoutDots(cut).toLowerCase();
  return normal.replace(/[/.]+$/, "") || "/";
}
