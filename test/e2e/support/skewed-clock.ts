/**
 * Loaded before a program (`node --import`), sets its clock off by WEFT_TEST_SKEW_MS: a namespace can shift the
 * monotonic clocks and not the wall's.
 */
const skewMs = Number(process.env["WEFT_TEST_SKEW_MS"] ?? 0);
const RealDate = Date;

class SkewedDate extends RealDate {
  static override now(): number {
    return RealDate.now() + skewMs;
  }
  constructor(...args: readonly unknown[]) {
    super(...((args.length === 0 ? [SkewedDate.now()] : args) as [number]));
  }
}

globalThis.Date = SkewedDate as DateConstructor;

export {};
