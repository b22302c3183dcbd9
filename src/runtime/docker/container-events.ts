/**
 * Changes of Weft's containers, from the Engine's `/events`. A reader that comes back goes on where the last
 * one ended: the Engine keeps its latest 256 events and replays those since a given nanosecond, the newest
 * known one among them, which says nothing wrong when it is heard twice. What a restarted Engine forgot is
 * for the caller's next list() to find.
 */
import type { Clock } from "../../base/clock.ts";
import { UnavailableError } from "../../base/errors.ts";
import type { RuntimeEvent } from "../runtime.ts";
import { TASK_LABEL } from "./container-create.ts";
import { type Json, numberOf, recordOf, stringOf } from "./decode.ts";
import type { EngineClient } from "./engine-client.ts";
import { jsonLines } from "./json-lines.ts";

const FILTERS = JSON.stringify({
  type: ["container"],
  label: [TASK_LABEL],
  event: ["start", "die", "health_status", "destroy"],
});
/** JSON.parse rounds the Engine's nanoseconds to multiples of 256, upwards too. */
const ROUNDING_NANOSECONDS = 256n;

export class ContainerEvents {
  readonly #client: EngineClient;
  /** Nanoseconds since the epoch of the newest event heard. */
  #since: bigint;

  constructor(client: EngineClient, clock: Clock) {
    this.#client = client;
    this.#since = BigInt(Math.floor(clock.now())) * 1_000_000n;
  }

  async *read(signal: AbortSignal): AsyncIterable<RuntimeEvent> {
    const answer = await this.#client.stream("GET", "/events", {
      query: { filters: FILTERS, since: secondsText(this.#since - ROUNDING_NANOSECONDS) },
      signal,
    });
    for await (const line of jsonLines(answer)) {
      const at = BigInt(numberOf(line["timeNano"]) ?? 0);
      if (at > this.#since) this.#since = at;
      const event = eventOf(line);
      if (event !== undefined) yield event;
    }
    if (!signal.aborted) throw new UnavailableError("the Docker Engine ended its events");
  }
}

function secondsText(nanoseconds: bigint): string {
  const fraction = String(nanoseconds % 1_000_000_000n).padStart(9, "0");
  return `${nanoseconds / 1_000_000_000n}.${fraction}`;
}

function eventOf(line: Json): RuntimeEvent | undefined {
  const actor = recordOf(line["Actor"]);
  const taskID = stringOf(recordOf(actor["Attributes"])[TASK_LABEL]);
  const containerID = stringOf(actor["ID"]);
  const kind = kindOf(stringOf(line["Action"]) ?? "");
  if (taskID === undefined || containerID === undefined || kind === undefined) return undefined;
  return { taskID, containerID, kind };
}

function kindOf(action: string): RuntimeEvent["kind"] | undefined {
  if (action === "start" || action === "die") return action;
  if (action === "destroy") return "remove";
  return action.startsWith("health_status") ? "health" : undefined;
}
