/** A share of the requests: `percent`, or `fraction` for finer ones (Gateway API HTTPRequestMirrorFilter). Every request when neither is there. */
import type { Field, Range } from "./field.ts";

export type Share = { readonly numerator: number; readonly denominator: number };

const percentRange: Range = { min: 0, max: 100 };

/** The API's type of the fields (int32). */
const maxPart = 2_147_483_647;

export function readShare(field: Field): Share {
  const percent = field.at("percent").optionalInteger(percentRange);
  const fraction = field.at("fraction");
  if (!fraction.isPresent) return { numerator: percent ?? 100, denominator: 100 };
  if (percent !== undefined) field.fault("must have at most one of percent and fraction");
  const numerator = fraction.at("numerator").integer({ min: 0, max: maxPart });
  const denominator = fraction.at("denominator").optionalInteger({ min: 1, max: maxPart }) ?? 100;
  if (numerator > denominator) {
    fraction
      .at("numerator")
      .fault(`must be at most the denominator ${denominator}, is ${numerator}`);
  }
  return { numerator, denominator };
}
