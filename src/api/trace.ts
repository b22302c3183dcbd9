/**
 * `/weft/trace`: what becomes of a new connection's first packet, hop by hop. Each node on its way is asked what its
 * kernel, as it is, does with it; where that is not what the kernel should do, both are told. Weft's own path.
 */
import { isIP, isIPv4, isIPv6 } from "node:net";
import { InvalidParameterError, NotFoundError } from "../base/errors.ts";
import { withPort } from "../base/host-port.ts";
import { canonicalIPv6 } from "../base/ip-address.ts";
import { findNode } from "../cluster/finders.ts";
import { taskName } from "../cluster/names.ts";
import type { Node } from "../cluster/objects.ts";
import type { Snapshot } from "../cluster/store.ts";
import type { HostTrace, TracedWay, TraceQuestion } from "../datapath/host-trace.ts";
import type { Outcome } from "../datapath/trace.ts";
import type { NodeTrace } from "../dispatcher/assignment.ts";
import type { Answer, ApiCall } from "./call.ts";
import { requireManager } from "./manager.ts";
import { connectionNotes, portNotes, whyNot } from "./trace-reasons.ts";

/** A packet that meets more nodes than this goes round in circles. */
const HOPS_MAX = 4;
const PORT_MAX = 65_535;

export interface TraceAnswer {
  readonly Client: string;
  /** The node that is asked first. */
  readonly Entry: string;
  readonly Destination: string;
  readonly Port: number;
  readonly Protocol: string;
  /** What the entry node knows of the port. */
  readonly Notes: readonly string[];
  readonly Ways: readonly TraceWayAnswer[];
}

export interface TraceWayAnswer {
  /** One of so many ways, each as likely as another. */
  readonly OneOf: number;
  readonly Hops: readonly TraceHopAnswer[];
  readonly End: {
    readonly Kind: Outcome["kind"] | "silent" | "circles";
    /** In words. */
    readonly Why: string;
  };
}

export interface TraceHopAnswer {
  readonly NodeID: string;
  readonly Hostname: string;
  readonly Steps: readonly string[];
  /** What its kernel should do instead; absent when it does. */
  readonly Wanted?: readonly string[];
  /** Whatever makes this node's part doubtful. */
  readonly Notes: readonly string[];
}

export async function tracePacket(call: ApiCall): Promise<Answer> {
  const manager = requireManager(call.context);
  const snapshot = manager.store.view();
  const asked = readQuestion(snapshot, call.query);
  const tracer = new Tracer(snapshot, asked, (nodeID, packet) => manager.traceOn(nodeID, packet));
  return { status: 200, body: await tracer.answer() };
}

interface Asked {
  readonly client: string;
  readonly entry: Node;
  /** Where the packet is seen first: the entry, unless a task sends it from another node. */
  readonly first: Node;
  readonly question: TraceQuestion;
}

/** `client` and `to` are a node's name, id or address; `client` may be any address. */
function readQuestion(snapshot: Snapshot, query: URLSearchParams): Asked {
  const [client, to] = [spelled(query.get("client") ?? ""), spelled(query.get("to") ?? "")];
  const port = portOf(query, "port");
  const clientPort = query.has("clientPort") ? portOf(query, "clientPort") : undefined;
  const protocol = query.get("protocol") ?? "tcp";
  if (protocol !== "tcp" && protocol !== "udp") {
    throw new InvalidParameterError(`invalid protocol '${protocol}': must be tcp or udp`);
  }
  const sender = memberOf(snapshot, client);
  const entry = isLoopback(to) ? sender : memberOf(snapshot, to);
  if (entry === undefined) {
    const cure = isLoopback(to)
      ? "only a node's own processes reach it: name the node as CLIENT"
      : "";
    throw new NotFoundError(`no node has the name, id or address '${to}'${cure && `; ${cure}`}`);
  }
  const family = familyOf(client, to);
  const destination = isIP(to) !== 0 ? to : addressOf(entry, family);
  const packet: Omit<TraceQuestion, "from" | "source"> = {
    ...{ destination, protocol, port },
    ...(clientPort === undefined ? {} : { clientPort }),
  };
  if (sender?.id === entry.id) {
    const source = isIP(client) !== 0 ? client : destination;
    const from = { kind: "process" } as const;
    return { client, entry, first: entry, question: { ...packet, from, source } };
  }
  const task = taskNodeOf(snapshot, client);
  if (task !== undefined) {
    const from = { kind: "task", address: client } as const;
    return { client, entry, first: task, question: { ...packet, from, source: client } };
  }
  const source = isIP(client) !== 0 ? client : sender && addressOf(sender, family);
  if (source === undefined || isLoopback(source)) {
    throw new NotFoundError(`'${client}' is neither an address nor a node's name or id`);
  }
  const from = { kind: "uplink" } as const;
  return { client, entry, first: entry, question: { ...packet, from, source } };
}

/** An IPv6 address as everybody else here writes it. */
function spelled(word: string): string {
  if (!isIPv6(word)) return word;
  if (word.includes("%")) {
    throw new InvalidParameterError(`'${word}': name the address without a link of one host's`);
  }
  return canonicalIPv6(word);
}

/** IPv4 unless one of them is an IPv6 address. */
function familyOf(client: string, to: string): 4 | 6 {
  const families = new Set([isIP(client), isIP(to)]);
  if (families.has(4) && families.has(6)) {
    throw new InvalidParameterError(
      `'${client}' and '${to}' are addresses of different families: no packet has both`,
    );
  }
  return families.has(6) ? 6 : 4;
}

/** The node's address on the LAN, or its first of that family. */
function addressOf({ id, status, description }: Node, family: 4 | 6): string {
  const found = [status.addr, ...(description?.addresses ?? [])].find(
    (address) => isIP(address) === family,
  );
  if (found !== undefined) return found;
  throw new NotFoundError(`node ${description?.hostname ?? id} has no IPv${family} address`);
}

function portOf(query: URLSearchParams, name: "port" | "clientPort"): number {
  const text = query.get(name) ?? "";
  const port = Number(text);
  if (Number.isInteger(port) && port >= 1 && port <= PORT_MAX) return port;
  throw new InvalidParameterError(`invalid ${name} '${text}': must be 1 to 65535`);
}

function isLoopback(address: string): boolean {
  return (isIPv4(address) && address.startsWith("127.")) || address === "::1";
}

/** By any of its addresses, or as Docker finds a node. */
function memberOf(snapshot: Snapshot, reference: string): Node | undefined {
  const nodes = snapshot.list("node");
  if (isIP(reference) !== 0) {
    return nodes.find(
      ({ status, ingressAddress, description }) =>
        [status.addr, ingressAddress].includes(reference) ||
        description?.addresses?.includes(reference) === true,
    );
  }
  try {
    return findNode(snapshot, reference);
  } catch (error) {
    if (error instanceof NotFoundError) return undefined;
    throw error;
  }
}

/** The node of the running task with this address in the mesh. */
function taskNodeOf(snapshot: Snapshot, address: string): Node | undefined {
  return snapshot.get("node", taskOf(snapshot, address)?.nodeID ?? "");
}

function taskOf(snapshot: Snapshot, address: string) {
  return snapshot
    .list("task")
    .find(
      ({ status, networksAttachments }) =>
        status.state === "running" &&
        networksAttachments.some(({ addresses }) =>
          addresses.some((one) => one.split("/")[0] === address),
        ),
    );
}

type AskNode = (nodeID: string, packet: TraceQuestion) => Promise<NodeTrace>;

class Tracer {
  readonly #snapshot: Snapshot;
  readonly #asked: Asked;
  readonly #ask: AskNode;
  /** Ways part on the first node and often meet again: each packet is asked of a node once. */
  readonly #answers = new Map<string, Promise<NodeTrace>>();
  #notes: readonly string[] = [];

  constructor(snapshot: Snapshot, asked: Asked, ask: AskNode) {
    this.#snapshot = snapshot;
    this.#asked = asked;
    this.#ask = ask;
  }

  async answer(): Promise<TraceAnswer> {
    const { client, entry, first, question } = this.#asked;
    const ways = await this.#follow(first, question, []);
    return {
      Client: client,
      Entry: hostnameOf(entry),
      Destination: question.destination,
      Port: question.port,
      Protocol: question.protocol,
      Notes: this.#notes,
      Ways: ways,
    };
  }

  async #follow(
    node: Node,
    question: TraceQuestion,
    before: readonly TraceHopAnswer[],
  ): Promise<readonly TraceWayAnswer[]> {
    const { trace, revision } = await this.#askOnce(node, question);
    const end = (Kind: TraceWayAnswer["End"]["Kind"], Why: string) => [
      { OneOf: 1, Hops: before, End: { Kind, Why } },
    ];
    if (trace === undefined) {
      return end(
        "silent",
        `${hostnameOf(node)} does not answer, so what its kernel does is not known`,
      );
    }
    if (before.length >= HOPS_MAX) return end("circles", "the packet goes round in circles");
    if (node.id === this.#asked.entry.id && this.#notes.length === 0) {
      this.#notes = [
        ...portNotes(trace.port, question, hostnameOf(node)),
        ...connectionNotes(trace.known ?? [], hostnameOf(node)),
      ];
    }
    const ways: TraceWayAnswer[] = [];
    for (const [index, way] of trace.ways.entries()) {
      const hop = this.#hop(node, way, trace, index, revision);
      const further = await this.#further(node, way, trace, question, [...before, hop]);
      ways.push(...further.map((one) => ({ ...one, OneOf: one.OneOf * trace.endpoints })));
    }
    return ways;
  }

  #askOnce(node: Node, question: TraceQuestion): Promise<NodeTrace> {
    const key = `${node.id} ${JSON.stringify(question)}`;
    const answer = this.#answers.get(key) ?? this.#ask(node.id, question);
    this.#answers.set(key, answer);
    return answer;
  }

  async #further(
    node: Node,
    { outcome }: TracedWay,
    trace: HostTrace,
    question: TraceQuestion,
    hops: readonly TraceHopAnswer[],
  ): Promise<readonly TraceWayAnswer[]> {
    const { entry } = this.#asked;
    if (outcome.kind === "tunnel") {
      const next = this.#snapshot.get("node", outcome.to);
      const { from, ...packet } = outcome.packet;
      const etherSource = "host" in from ? (from.etherSource ?? "") : "";
      if (next !== undefined) {
        return await this.#follow(next, { ...packet, from: { kind: "tunnel", etherSource } }, hops);
      }
    }
    if (outcome.kind === "gone" && node.id !== entry.id && question.from.kind === "task") {
      const { source } = outcome;
      return await this.#follow(entry, { ...question, source, from: { kind: "uplink" } }, hops);
    }
    if (outcome.kind === "process" && isRelayed(trace, question)) {
      return await this.#followRelayed(node, question, hops);
    }
    const Why = this.#why(outcome, trace, question, hostnameOf(node));
    return [{ OneOf: 1, Hops: hops, End: { Kind: outcome.kind, Why } }];
  }

  /** What the keeper asks in its client's stead is a process's own connection. */
  async #followRelayed(
    node: Node,
    question: TraceQuestion,
    hops: readonly TraceHopAnswer[],
  ): Promise<readonly TraceWayAnswer[]> {
    const { clientPort: _theirs, ...packet } = question;
    const to = withPort(RELAY, question.port);
    const step = `relayed by its keeper to ${to}: ${whyRelayed(question.destination)}`;
    const last = hops.at(-1);
    const relayed = last === undefined ? [] : [{ ...last, Steps: [...last.Steps, step] }];
    const own = {
      ...packet,
      from: { kind: "process" },
      source: RELAY,
      destination: RELAY,
    } as const;
    return await this.#follow(node, own, [...hops.slice(0, -1), ...relayed]);
  }

  #why(outcome: Outcome, trace: HostTrace, question: TraceQuestion, hostname: string): string {
    if (outcome.kind !== "task") return whyNot(outcome, trace.port, question, hostname);
    const task = taskOf(this.#snapshot, withoutPort(outcome.to));
    const name = task === undefined ? "a task" : `task ${taskName(task)}`;
    return `${name} at ${outcome.to} is asked by ${outcome.seenAs}, and answers through ${this.#named(outcome.replyThrough)}`;
  }

  #hop(
    node: Node,
    way: TracedWay,
    trace: HostTrace,
    index: number,
    revision: number,
  ): TraceHopAnswer {
    const wanted = trace.wanted === undefined ? undefined : trace.wanted[index];
    const isSame = trace.wanted === undefined || JSON.stringify(wanted) === JSON.stringify(way);
    const lag =
      trace.revision === revision
        ? []
        : [`its kernel is at revision ${trace.revision} of ${revision}`];
    const strange = trace.unknown.map((chain) => `chain ${chain} has rules that are not Weft's`);
    return {
      NodeID: node.id,
      Hostname: hostnameOf(node),
      Steps: this.#steps(node, way.steps),
      ...(isSame ? {} : { Wanted: this.#wantedSteps(node, wanted) }),
      Notes: [...lag, ...strange],
    };
  }

  #wantedSteps(node: Node, wanted: TracedWay | undefined): readonly string[] {
    if (wanted === undefined) return ["no such way"];
    return [...this.#steps(node, wanted.steps), `it ends: ${wanted.outcome.kind}`];
  }

  #steps(node: Node, steps: readonly string[]): readonly string[] {
    const prefix = `${node.id}: `;
    return steps.map((step) =>
      this.#named(step.startsWith(prefix) ? step.slice(prefix.length) : step),
    );
  }

  /** Nodes by name: their ids are long, and nobody's word for them. */
  #named(text: string): string {
    let named = text;
    for (const node of this.#snapshot.list("node")) {
      named = named.replaceAll(node.id, hostnameOf(node));
    }
    return named;
  }
}

/** Where the keeper reaches the mesh over IPv4. */
const RELAY = "127.0.0.1";

/** Whether the keeper's listener takes it, and has somewhere to relay it to. */
function isRelayed({ port }: HostTrace, { destination }: TraceQuestion): boolean {
  return isIPv6(destination) && port.held && port.answered;
}

function whyRelayed(destination: string): string {
  const isOwn = destination === "::1" || destination.startsWith("fe80:");
  return isOwn
    ? `packets to ${destination} cannot be led on`
    : "no live task serves the port over IPv6";
}

function withoutPort(text: string): string {
  return text.slice(0, text.lastIndexOf(":")).replace(/^\[(.*)\]$/, "$1");
}

function hostnameOf(node: Node): string {
  return node.description?.hostname ?? node.id;
}
