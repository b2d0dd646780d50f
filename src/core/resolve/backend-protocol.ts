/** What a backend is spoken to with. */
import type { Backend, BackendProtocol } from "../model/backend.ts";
import type { ServicePort } from "../resource/service.ts";

/** A value that we do not know says nothing about how to read the bytes, so they are looked at. */
export function portProtocol(port: Pick<ServicePort, "appProtocol"> | undefined): BackendProtocol {
  if (port?.appProtocol === "http") return "http1";
  return port?.appProtocol === "kubernetes.io/h2c" ? "http2" : "detect";
}

/** Gateway API: the port of the backend decides (`own`), not that of the Service that a request was for (`protocol`). */
export function ownProtocol(
  { protocol }: { readonly protocol: BackendProtocol },
  own: BackendProtocol,
): Pick<Backend, "protocol"> {
  return own === protocol ? {} : { protocol: own };
}
