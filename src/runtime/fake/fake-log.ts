/** A fake container's log, read with the options of the real one: one frame a line, timestamps before it when asked. */
import { setTimeout as pause } from "node:timers/promises";
import type { LogFrame, LogOptions } from "../runtime.ts";

const TIMESTAMP = "2023-11-14T22:13:20.000000000Z";
/** How often a follower looks whether there is more. */
const FOLLOW_POLL_MS = 5;

export async function* readFakeLog(
  log: readonly LogFrame[],
  options: LogOptions,
  isRunning: () => boolean,
  signal: AbortSignal,
): AsyncIterable<LogFrame> {
  const isAsked = ({ stream }: LogFrame) => options[stream];
  const first = log.filter(isAsked).length - (options.tail ?? Number.POSITIVE_INFINITY);
  let position = Math.max(0, first);
  while (!signal.aborted) {
    for (const frame of log.filter(isAsked).slice(position)) {
      position += 1;
      const text = Buffer.from(options.timestamps ? `${TIMESTAMP} ` : "");
      yield { stream: frame.stream, data: Buffer.concat([text, frame.data]) };
    }
    if (!options.follow || !isRunning()) return;
    await pause(FOLLOW_POLL_MS);
  }
}
