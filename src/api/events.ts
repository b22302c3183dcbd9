/** `/events`: the Engine's stream with the cluster's happenings between its lines. */
import { Transform, type TransformCallback } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Answer, ApiCall } from "./call.ts";
import type { ClusterEvent } from "./cluster-events.ts";
import { withLocalNetworks } from "./containers.ts";
import { Filters, readFilters } from "./filters.ts";
import { StandIns, WEFT_DRIVER } from "./stand-ins.ts";

/** A reader that is this far behind is cut off, as one who no longer reads. */
const MAX_BACKLOG_BYTES = 1024 * 1024;

/** What is read of an event of the Engine's. */
interface EngineEvent {
  readonly Actor: { readonly ID: string; readonly Attributes: Readonly<Record<string, string>> };
}

/** Filters by which only the Engine's own happenings are found. */
const ENGINE_FILTERS = ["container", "image", "label", "daemon", "plugin", "volume"];

export async function streamEvents(call: ApiCall): Promise<Answer> {
  const { engine, events } = call.context;
  const standIns = await StandIns.read(call);
  // Whatever is wrong with the question, the Engine says.
  const local = await engine.open(withLocalNetworks(call), call.signal);
  if (local.statusCode !== 200) {
    call.response.writeHead(local.statusCode ?? 502, local.rawHeaders);
    await pipeline(local, call.response);
    return undefined;
  }
  call.response.writeHead(200, { "Content-Type": "application/json" });
  call.response.flushHeaders();
  const matches = matcherOf(call.query);
  const lines = new WholeLines(rewriterOf(call, standIns));
  const tell = (event: ClusterEvent) => {
    if (!matches(event)) return;
    if (lines.readableLength > MAX_BACKLOG_BYTES) lines.destroy();
    else lines.push(`${JSON.stringify(event)}\n`);
  };
  if (call.query.has("since")) for (const event of events.remembered()) tell(event);
  const unsubscribe = events.subscribe(tell);
  try {
    await pipeline(local, lines, call.response);
  } finally {
    unsubscribe();
  }
  return undefined;
}

/** Holds back the beginning of a line until its end has come, so that others may stand between lines. */
class WholeLines extends Transform {
  readonly #rewrite: (line: string) => string;
  #partial = "";

  /** `rewrite`: each line with its end, and what is to stand for it; nothing for none. */
  constructor(rewrite: (line: string) => string) {
    super();
    this.#rewrite = rewrite;
  }

  override _transform(chunk: Buffer, _encoding: string, callback: TransformCallback): void {
    // The Engine's JSON is ASCII or UTF-8 in whole lines; latin1 keeps the bytes of a cut character as they are.
    const text = this.#partial + chunk.toString("latin1");
    const end = text.lastIndexOf("\n") + 1;
    this.#partial = text.slice(end);
    const whole = text.slice(0, end);
    const told = OF_NETWORK.test(whole) ? whole.replaceAll(/.*\n/g, this.#rewrite) : whole;
    callback(null, Buffer.from(told, "latin1"));
  }

  override _flush(callback: TransformCallback): void {
    callback(null, Buffer.from(this.#partial, "latin1"));
  }
}

/** As the Engine writes its own; another program's names cannot hold an unescaped quote. */
const OF_NETWORK = /"Type":"network"/;

/** The Engine's happenings of networks that stand in for the cluster's, as those of the cluster's. */
function rewriterOf({ context, query }: ApiCall, standIns: StandIns): (line: string) => string {
  const filters = new Filters(readFilters(query));
  return (line) => {
    if (!OF_NETWORK.test(line)) return line;
    const event = JSON.parse(Buffer.from(line, "latin1").toString("utf8")) as EngineEvent;
    const { ID, Attributes } = event.Actor;
    const { name = "", type } = Attributes;
    const isStandIn = type === WEFT_DRIVER;
    const id = isStandIn ? standIns.idOf(ID, name, context.backend.networks()) : undefined;
    // What was asked for by an id was asked of the Engine by name, and that by the beginning of one.
    if (!filters.prefix("network", [id ?? ID, name])) return "";
    if (!isStandIn) return line;
    // In the text: its time in nanoseconds is no number that JavaScript has.
    const told = id === undefined ? line : line.replaceAll(`"${ID}"`, `"${id}"`);
    return told.replace(`"type":"${WEFT_DRIVER}"`, '"type":"overlay"');
  };
}

function matcherOf(query: URLSearchParams): (event: ClusterEvent) => boolean {
  const filters = new Filters(readFilters(query));
  const since = Number(query.get("since") ?? 0);
  const until = Number(query.get("until") ?? Number.POSITIVE_INFINITY);
  return (event) => {
    const at = event.timeNano / 1e9;
    if (at < since || at > until) return false;
    if (ENGINE_FILTERS.some((name) => filters.get(name).length > 0)) return false;
    return (
      filters.some("type", (type) => type === event.Type) &&
      filters.some("scope", (scope) => scope === event.scope) &&
      filters.some("event", (action) => action === event.Action) &&
      ["service", "node", "network", "secret", "config"].every((type) =>
        isAbout(event, type, filters),
      )
    );
  };
}

/** A filter by a service lets only that service's events through, by id or name or the beginning of one. */
function isAbout(event: ClusterEvent, type: string, filters: Filters): boolean {
  if (filters.get(type).length === 0) return true;
  const { ID, Attributes } = event.Actor;
  return event.Type === type && filters.prefix(type, [ID, Attributes["name"] ?? ""]);
}
