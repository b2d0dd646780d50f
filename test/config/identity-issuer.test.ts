import test from "ava";
import { readIdentityIssuerConfig } from "../../src/config/identity-issuer.ts";
import { Folder } from "../edge/x509/openssl.ts";

function read(
  environment: Readonly<Record<string, string>>,
): ReturnType<typeof readIdentityIssuerConfig> {
  using folder = new Folder();
  const keys = folder.write("keys.pem", "the keys");
  return readIdentityIssuerConfig({
    WEFT_IDENTITY_ISSUER_DIR: "/ca",
    WEFT_IDENTITY_TOKEN_KEYS_FILE: keys,
    ...environment,
  });
}

test("readIdentityIssuerConfig() has a default for everything but the files", (t) => {
  t.deepEqual(read({}), {
    ok: true,
    value: {
      listen: { host: "127.0.0.1", port: 8080 },
      admin: { host: "127.0.0.1", port: 9990 },
      issuerDir: "/ca",
      tokenKeys: "the keys",
      ownName: undefined,
      trustDomain: "cluster.local",
      controlNamespace: "weft",
      lifetimeMs: 86_400_000,
      skewMs: 20_000,
      logLevel: "info",
    },
  });
});

test("readIdentityIssuerConfig() reads Linkerd's way of writing durations", (t) => {
  const config = read({
    WEFT_IDENTITY_ISSUANCE_LIFETIME: "2d",
    WEFT_IDENTITY_CLOCK_SKEW: "0",
  });
  t.is(config.ok && config.value.lifetimeMs, 172_800_000);
  t.is(config.ok && config.value.skewMs, 0);
});

test("readIdentityIssuerConfig() names every bad variable at once", (t) => {
  const config = readIdentityIssuerConfig({
    WEFT_IDENTITY_LISTEN_ADDR: "8080",
    WEFT_ADMIN_LISTEN_ADDR: "x",
    WEFT_IDENTITY_TRUST_DOMAIN: "Cluster",
    WEFT_CONTROL_NAMESPACE: "a.b",
    WEFT_IDENTITY_ISSUANCE_LIFETIME: "1s",
    WEFT_IDENTITY_CLOCK_SKEW: "1d",
    WEFT_LOG_LEVEL: "loud",
  });
  t.deepEqual(config.ok ? [] : config.faults.map(({ path }) => path).sort(), [
    "WEFT_ADMIN_LISTEN_ADDR",
    "WEFT_CONTROL_NAMESPACE",
    "WEFT_IDENTITY_CLOCK_SKEW",
    "WEFT_IDENTITY_ISSUANCE_LIFETIME",
    "WEFT_IDENTITY_ISSUER_DIR",
    "WEFT_IDENTITY_LISTEN_ADDR",
    "WEFT_IDENTITY_TOKEN_KEYS_FILE",
    "WEFT_IDENTITY_TRUST_DOMAIN",
    "WEFT_LOG_LEVEL",
  ]);
});
