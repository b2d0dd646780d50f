/** The openssl program as a second opinion: it makes what the code must refuse and judges what the code makes. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Longer than any command here takes on a busy machine. */
const timeoutMs = 30_000;

export class Folder implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), "weft-x509-"));

  file(name: string): string {
    return join(this.path, name);
  }

  write(name: string, content: string | Uint8Array): string {
    writeFileSync(this.file(name), content);
    return this.file(name);
  }

  read(name: string): Buffer {
    return readFileSync(this.file(name));
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** What the command prints; throws when it fails. */
export function openssl(...args: readonly string[]): string {
  return execFileSync("openssl", args, { encoding: "utf8", stdio: "pipe", timeout: timeoutMs });
}

/** Exit code and everything printed. */
export function tryOpenssl(...args: readonly string[]): { code: number | null; output: string } {
  const done = spawnSync("openssl", args, { encoding: "utf8", timeout: timeoutMs });
  return { code: done.status, output: done.stdout + done.stderr };
}

export type ForeignCsr = {
  /** `-newkey` arguments, by default a P-256 key. */
  readonly newKey?: readonly string[];
  readonly subject?: string;
  /** The value of subjectAltName, such as `DNS:a,IP:10.0.0.1`; none without. */
  readonly altNames?: string;
  readonly digest?: string;
};

const p256 = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

/** A request in DER as openssl makes it. */
export function foreignCsr(options: ForeignCsr): Buffer {
  using folder = new Folder();
  const names =
    options.altNames === undefined ? [] : ["-addext", `subjectAltName=${options.altNames}`];
  openssl(
    ...["req", "-new", "-newkey", ...(options.newKey ?? p256), "-nodes"],
    ...["-keyout", folder.file("key"), "-out", folder.file("csr"), "-outform", "DER"],
    ...["-subj", options.subject ?? "/", `-${options.digest ?? "sha256"}`, ...names],
  );
  return folder.read("csr");
}
