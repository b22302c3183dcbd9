/**
 * The bits of the packet mark that are Weft's: fourteen for the index of the node that a reply goes back
 * through, and one flag that the routing rule looks at. All other bits belong to other programs
 * (Tailscale, Kubernetes, Calico) and are carried along unchanged.
 */
import { InvalidParameterError } from "../base/errors.ts";

export const INDEX_BITS = 14;
export const INDEX_MAX = 2 ** INDEX_BITS - 1;
/** Bits 16 to 29 are the index, bit 30 is the flag. */
export const DEFAULT_MARK_SHIFT = 16;
const MARK_SHIFT_MAX = 32 - INDEX_BITS - 1;

export interface MarkLayout {
  readonly shift: number;
  /** Everything that is Weft's. */
  readonly mask: number;
  readonly indexMask: number;
  readonly flag: number;
  /** Everything that is not. */
  readonly others: number;
}

export function markLayout(shift: number = DEFAULT_MARK_SHIFT): MarkLayout {
  if (!Number.isInteger(shift) || shift < 0 || shift > MARK_SHIFT_MAX) {
    throw new InvalidParameterError(
      `invalid mark shift ${shift}: must be from 0 to ${MARK_SHIFT_MAX}`,
    );
  }
  const indexMask = (INDEX_MAX << shift) >>> 0;
  const flag = (1 << (shift + INDEX_BITS)) >>> 0;
  const mask = (indexMask | flag) >>> 0;
  return { shift, mask, indexMask, flag, others: ~mask >>> 0 };
}

/** The mark of a reply that goes back through the node with this index. */
export function replyMark(layout: MarkLayout, index: number): number {
  return (layout.flag | (index << layout.shift)) >>> 0;
}

/** As the rules spell it. */
export function hex(bits: number): string {
  return `0x${bits.toString(16).padStart(8, "0")}`;
}
