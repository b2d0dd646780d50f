const maxUint32 = 0xffff_ffff;

/** The nearest number that the field can carry: encoding throws for any other, and one wide limit must not cost the whole policy. */
export function toUint32(value: number, max: number = maxUint32): number {
  return Math.min(Math.max(Math.trunc(value) || 0, 0), max);
}
