/**
 * The two files of node-forge that this folder uses, imported on their own: the whole package also loads ciphers, RSA and
 * a TLS stack, which costs each worker 25 ms at its start. The package's types know only the whole.
 */
declare module "node-forge/lib/asn1.js" {
  type Asn1 = typeof import("node-forge").asn1;
  type Element = import("node-forge").asn1.Asn1;
  /** `fromDer` takes more options than its published type says. */
  type ReadOptions = {
    readonly strict: boolean;
    readonly parseAllBytes: boolean;
    readonly decodeBitStrings: boolean;
    readonly maxDepth: number;
  };
  const asn1: Asn1 & { fromDer(bytes: string, options: ReadOptions): Element };
  export = asn1;
}

declare module "node-forge/lib/pem.js" {
  const pem: typeof import("node-forge").pem;
  export = pem;
}
