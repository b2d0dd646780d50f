/** Each authorization that was tried for a client, with the first of its conditions that the client does not meet. */
import { describeMeta } from "../model/meta.ts";
import type { InboundTable } from "../table/inbound.ts";
import { describeObstacle, findObstacle, notAdmitted, type Obstacle, type Peer } from "./admit.ts";
import { noToken, type TokenCheck } from "./token.ts";

export type AdmissionView = {
  readonly authorization: string;
  /** Empty: it admits the client. */
  readonly obstacle: Obstacle | "";
  /** It admits everybody because nothing is enforced; whom no other admits would be denied. */
  readonly isAudit: boolean;
  /** For people; begins with a verb, the client is its subject. */
  readonly text: string;
};

type Admitting = {
  readonly peer: Peer;
  readonly admitted?: number;
  readonly check?: TokenCheck;
};

/**
 * `candidates` are indices into `table.authorizations` (`table.admits[route]` or `table.admitsConnection`), in the order in which they are tried.
 * `admitted` is the one that is known to have admitted the client; else those that ask for a token are asked by `check`, for which nobody has one where it is left out.
 */
export function explainAdmission(
  { authorizations }: InboundTable,
  candidates: readonly number[],
  { peer, admitted = notAdmitted, check = noToken }: Admitting,
): readonly AdmissionView[] {
  return candidates.map((candidate) => {
    const authorization = authorizations[candidate];
    if (authorization === undefined) throw new Error(`The table has no entry ${candidate}`);
    const { meta } = authorization;
    const name = describeMeta(meta);
    const isAudit = meta.type === "default" && meta.name === "audit";
    if (isAudit) {
      const text = "is admitted because nothing is enforced here: this is audit mode";
      return { authorization: name, obstacle: "", isAudit, text };
    }
    if (candidate === admitted) {
      return { authorization: name, obstacle: "", isAudit, text: `is admitted by ${name}` };
    }
    return {
      authorization: name,
      isAudit,
      obstacle: findObstacle(authorization, peer, check) ?? "",
      text: describeObstacle(authorization, peer, check),
    };
  });
}
