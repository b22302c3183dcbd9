import { messageOf } from "../../../src/base/errors.ts";

/**
 * Which seeds a simulation runs: by default `count`, `SIM_FACTOR=10` times as many, `SEED=17` that one,
 * `SIM_FROM=1000` others than usual.
 */
export function seeds(count: number): readonly number[] {
  const { SEED, SIM_FACTOR, SIM_FROM } = process.env;
  if (SEED !== undefined) return [Number(SEED)];
  const length = count * Number(SIM_FACTOR ?? 1);
  return Array.from({ length }, (_, index) => index + Number(SIM_FROM ?? 1));
}

/** Runs it for each seed; a failure says with which seed it replays. */
export function forSeeds(count: number, run: (seed: number) => void): void {
  for (const seed of seeds(count)) {
    try {
      run(seed);
    } catch (error) {
      process.stderr.write(`replay with SEED=${seed}\n`);
      throw new Error(`SEED=${seed}: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }
}
