/** Load on the mesh, on fresh and on kept connections, while something is done to it. */
import assert from "node:assert/strict";
import { type Load, type LoadCounts, startLoad } from "../../../src/lab/load.ts";
import type { Place } from "../../../src/lab/place.ts";

/** Requests that each load makes before, and after, what is done under it. */
const FLOWING = 150;
/** A delay is not a failure here: firewalld drops what is new while it reloads, for seconds on a busy machine. */
const PATIENCE_MS = 15_000;

/**
 * Runs `action` while requests flow from these places to these URLs; none may fail, and no kept
 * connection may break. Resolves with the counts.
 */
export async function unharmed(
  places: readonly Place[],
  urls: readonly string[],
  action: () => Promise<void>,
): Promise<LoadCounts[]> {
  await using loads = new AsyncDisposableStack();
  const start = async (place: Place, keepAlive: boolean): Promise<Load> =>
    loads.use(
      await startLoad(place, {
        urls,
        keepAlive,
        connections: 3,
        pauseMs: 10,
        timeoutMs: PATIENCE_MS,
      }),
    );
  const running = await Promise.all(
    places.flatMap((place) => [start(place, false), start(place, true)]),
  );
  const flow = () => Promise.all(running.map((load) => load.more(FLOWING)));
  await flow();
  await action();
  await flow();
  const counts = await Promise.all(running.map((load) => load.stop()));
  for (const { failed, retried, errors } of counts) {
    assert.deepEqual({ failed, retried, errors }, { failed: 0, retried: 0, errors: {} });
  }
  return counts;
}
