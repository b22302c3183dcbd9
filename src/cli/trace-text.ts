/** What `weft trace` prints, from the daemon's answer. Pure. */

import type { TraceAnswer, TraceHopAnswer, TraceWayAnswer } from "../api/trace.ts";
import { withPort } from "../base/host-port.ts";

export function describeTrace(answer: TraceAnswer): string[] {
  const { Client, Entry, Destination, Port, Protocol, Notes, Ways } = answer;
  return [
    `${Client} -> ${withPort(Destination, Port)}/${Protocol} (${Entry})`,
    ...Notes.map((note) => `  ${note}`),
    ...Ways.flatMap((way) => ["", ...describeWay(way)]),
  ];
}

function describeWay({ OneOf, Hops, End }: TraceWayAnswer): string[] {
  const lines = Hops.flatMap(describeHop);
  const last = `  ${End.Kind === "task" ? "served" : End.Kind}: ${End.Why}`;
  return [OneOf === 1 ? "in any case" : `one time in ${OneOf}`, ...lines, last];
}

function describeHop({ Hostname, Steps, Wanted, Notes }: TraceHopAnswer): string[] {
  const found = Steps.length === 0 ? ["nothing of the mesh's concerns it"] : Steps;
  return [
    ...found.map((step) => `  ${Hostname}: ${step}`),
    ...(Wanted ?? []).map((step) => `  ${Hostname} should do: ${step}`),
    ...Notes.map((note) => `  ${Hostname}: note: ${note}`),
  ];
}
