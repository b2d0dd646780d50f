/** The patterns of the definitions in words, because a report should not ask its reader to run a regular expression. */
const dnsName = String.raw`[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*`;

const words: ReadonlyMap<string, string> = new Map([
  [`^${dnsName}$`, "be a DNS name (a-z, 0-9, - and .)"],
  [`^$|^${dnsName}$`, "be a DNS name (a-z, 0-9, - and .), or empty"],
  [String.raw`^(\*\.)?${dnsName}$`, 'be a DNS name (a-z, 0-9, - and .), or "*." and a DNS name'],
  ["^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "be a DNS label (a-z, 0-9 and -)"],
  ["^[a-z0-9-]+$", "be an AWS region (a-z, 0-9 and -)"],
  ["^[0-9]{12}$", "be an AWS account (12 digits)"],
  ["^[A-Za-z0-9_-]{1,140}$", "be a function name (1 to 140 of letters, digits, - and _)"],
  ["^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$", "be a kind (letters, digits and -, a letter first)"],
  [
    "^([0-9]{1,5}(h|m|s|ms)){1,4}$",
    'be a duration like "500ms", "10s" or "1h30m" (GEP-2257: whole numbers with h, m, s or ms)',
  ],
  [
    String.raw`^[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+$`,
    "be a name as headers have (RFC 9110 §5.6.2 token: letters, digits and !#$%&'*+-.^_`|~)",
  ],
  [
    String.raw`^[!-~]+([\t ][!-~]+)*$`,
    "be visible ASCII characters with single blanks in between (RFC 9110 §5.5)",
  ],
  [
    `^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$`,
    "hold only characters of a URL path (RFC 3986 §3.3)",
  ],
  [
    String.raw`(^\*$)|(^(http(s)?):\/\/(((\*\.)?([a-zA-Z0-9\-]+\.)*[a-zA-Z0-9-]+|\*)(:([0-9]{1,5}))?)$)`,
    'be an origin like "https://example.com:8443", with "*" or "*." at the start of its host, or "*"',
  ],
  [
    String.raw`^(\*|spiffe://[a-z0-9._-]+(/[A-Za-z0-9._-]+)*|(\*\.)?${dnsName})$`,
    'be a DNS name, "*", "*." and a DNS name, or a SPIFFE ID ("spiffe://domain/path")',
  ],
]);

/** After "must"; undefined for a pattern that nobody has put into words. */
export function patternWords(pattern: string): string | undefined {
  return words.get(pattern);
}
