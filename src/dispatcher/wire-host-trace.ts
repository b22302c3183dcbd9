/** A packet that a node is asked about, and what it says becomes of it. Decoding believes nothing on either side. */
import type { HostTrace, TracedPort, TracedWay, TraceQuestion } from "../datapath/host-trace.ts";
import type { KnownConnection } from "../datapath/known-connection.ts";
import type { Outcome, Probe } from "../datapath/trace.ts";
import {
  flagOf,
  listOf,
  numberOf,
  parseRecord,
  protocolOf,
  recordOf,
  textOf,
  wrong,
} from "./wire-json.ts";

const HOOKS = ["prerouting", "input", "forward", "output", "postrouting", "egress"] as const;

/** Throws an InvalidParameterError when it is none. */
export function decodeTraceQuestion(bytes: Uint8Array): TraceQuestion {
  const value = parseRecord(bytes);
  const { clientPort } = value;
  return {
    ...decodePacket(value),
    from: decodeSender(recordOf(value["from"])),
    ...(clientPort === undefined ? {} : { clientPort: numberOf(clientPort) }),
  };
}

/** Throws an InvalidParameterError when it is none. */
export function decodeHostTrace(bytes: Uint8Array): HostTrace {
  const { revision, port, endpoints, ways, wanted, known, unknown } = parseRecord(bytes);
  return {
    revision: numberOf(revision),
    port: decodePort(recordOf(port)),
    endpoints: numberOf(endpoints),
    ways: listOf(ways).map(decodeWay),
    ...(wanted === undefined ? {} : { wanted: listOf(wanted).map(decodeWay) }),
    ...(known === undefined ? {} : { known: listOf(known).map(decodeKnown) }),
    unknown: listOf(unknown).map(textOf),
  };
}

function decodePacket(value: Record<string, unknown>): Omit<Probe, "from"> {
  return {
    source: textOf(value["source"]),
    destination: textOf(value["destination"]),
    protocol: protocolOf(value["protocol"]),
    port: numberOf(value["port"]),
  };
}

function decodeSender(value: Record<string, unknown>): TraceQuestion["from"] {
  const { kind } = value;
  if (kind === "process" || kind === "uplink") return { kind };
  if (kind === "tunnel") return { kind, etherSource: textOf(value["etherSource"]) };
  if (kind === "task") return { kind, address: textOf(value["address"]) };
  throw wrong(value);
}

function decodePort({ held, answered, service, problem }: Record<string, unknown>): TracedPort {
  return {
    held: flagOf(held),
    answered: flagOf(answered),
    ...(service === undefined ? {} : { service: decodeService(recordOf(service)) }),
    ...(problem === undefined ? {} : { problem: textOf(problem) }),
  };
}

function decodeKnown(value: unknown): KnownConnection {
  const { state, to } = recordOf(value);
  return { state: textOf(state), to: textOf(to) };
}

function decodeService(value: Record<string, unknown>): NonNullable<TracedPort["service"]> {
  const { allowedSources, boundTo, answeredAt } = value;
  return {
    id: textOf(value["id"]),
    name: textOf(value["name"]),
    live: numberOf(value["live"]),
    draining: numberOf(value["draining"]),
    ...(allowedSources === undefined ? {} : { allowedSources: listOf(allowedSources).map(textOf) }),
    ...(boundTo === undefined ? {} : { boundTo: listOf(boundTo).map(textOf) }),
    ...(answeredAt === undefined ? {} : { answeredAt: listOf(answeredAt).map(textOf) }),
  };
}

function decodeWay(value: unknown): TracedWay {
  const { steps, outcome } = recordOf(value);
  return { steps: listOf(steps).map(textOf), outcome: decodeOutcome(recordOf(outcome)) };
}

function decodeOutcome(value: Record<string, unknown>): Outcome {
  const at = textOf(value["at"]);
  switch (value["kind"]) {
    case "task":
      return {
        ...{ kind: "task", at, to: textOf(value["to"]), seenAs: textOf(value["seenAs"]) },
        replyThrough: textOf(value["replyThrough"]),
      };
    case "tunnel":
      return {
        ...{ kind: "tunnel", at, to: textOf(value["to"]) },
        packet: decodeProbe(recordOf(value["packet"])),
      };
    case "process":
      return { kind: "process", at };
    case "refused":
      return { kind: "refused", at };
    case "dropped": {
      const hook = HOOKS.find((one) => one === value["in"]);
      if (hook === undefined) throw wrong(value);
      return { kind: "dropped", at, in: hook };
    }
    case "gone":
      return { kind: "gone", at, source: textOf(value["source"]) };
    default:
      throw wrong(value);
  }
}

function decodeProbe(value: Record<string, unknown>): Probe {
  const { host, link, etherSource } = recordOf(value["from"]);
  const from = { host: textOf(host), link: textOf(link), etherSource: textOf(etherSource) };
  return { ...decodePacket(value), from };
}
