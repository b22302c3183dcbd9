/**
 * What one node's kernel, as it was read back, does with a new connection's first packet, and what it should do: every
 * way that it may be led, with the facts that say why. Pure.
 */
import { isOfIPv6 } from "../base/ip-address.ts";
import { isLinkName } from "../base/link-name.ts";
import type { KernelState } from "./desired.ts";
import type { KnownConnection } from "./known-connection.ts";
import { LINK, TABLE } from "./names.ts";
import type { Ruleset, Table } from "./nft/ruleset.ts";
import { addressesAt, type InterfaceAddresses } from "./publish-places.ts";
import { type Outcome, type Probe, type TracedHost, trace } from "./trace.ts";
import type { LocalLink, MeshEndpoint, MeshProtocol, MeshView } from "./view.ts";

/** A new connection's first packet as it comes to a node. */
export interface TraceQuestion {
  readonly from:
    | { readonly kind: "process" }
    | { readonly kind: "uplink" }
    | { readonly kind: "tunnel"; readonly etherSource: string }
    /** A task of this node. */
    | { readonly kind: "task"; readonly address: string };
  readonly source: string;
  readonly destination: string;
  readonly protocol: MeshProtocol;
  readonly port: number;
  /** The client's own, where connections that it has are asked for too. */
  readonly clientPort?: number;
}

export interface HostTrace {
  /** The endpoint revision that was applied last. */
  readonly revision: number;
  /** What the node was told of the port. */
  readonly port: TracedPort;
  /** How many endpoints the kernel chooses between, all alike in chance; 1 when it has no choice. */
  readonly endpoints: number;
  /** By the kernel as it is: a way for each of them, up to a bound. */
  readonly ways: readonly TracedWay[];
  /** By the kernel as it should be; absent when that is the same. */
  readonly wanted?: readonly TracedWay[];
  /** Connections that the client's port has already; absent when it was not asked for. */
  readonly known?: readonly KnownConnection[];
  /** Chains of Weft's with rules that this node's version does not know: what they do is not told. */
  readonly unknown: readonly string[];
}

export interface TracedPort {
  /** Whether the kernel is told that this host's keeper holds it. */
  readonly held: boolean;
  /** Whether the kernel leads it anywhere; of IPv6 also whether the keeper can relay it somewhere. */
  readonly answered: boolean;
  readonly service?: {
    readonly id: string;
    readonly name: string;
    readonly allowedSources?: readonly string[];
    readonly boundTo?: readonly string[];
    /** The same with the addresses that interfaces have now in place of their names; absent where that is no different. */
    readonly answeredAt?: readonly string[];
    readonly live: number;
    readonly draining: number;
  };
  /** Why the keeper does not hold it. */
  readonly problem?: string;
}

export interface TracedWay {
  readonly steps: readonly string[];
  readonly outcome: Outcome;
}

/** Of a service with more endpoints as many ways are told; the chances are still those of all. */
export const WAYS_MAX = 32;

export interface HostFactsForTrace {
  readonly view: MeshView;
  readonly actual: KernelState;
  readonly wanted: KernelState;
  /** Every address that the host has. */
  readonly addresses: readonly string[];
  /** Of the interfaces that ports are answered at. */
  readonly interfaces: InterfaceAddresses;
}

export function hostTrace(facts: HostFactsForTrace, question: TraceQuestion): HostTrace {
  const { view, actual, wanted } = facts;
  const ruleset = withTexts(actual.ruleset, wanted.ruleset);
  const { ways, endpoints } = waysOf({ ...actual, ruleset }, facts, question);
  const expected = waysOf(wanted, facts, question);
  const isSame = JSON.stringify(ways) === JSON.stringify(expected.ways);
  return {
    revision: view.revision,
    port: tracedPort(facts, ruleset.get(TABLE), question),
    endpoints,
    ways,
    ...(isSame ? {} : { wanted: expected.ways }),
    unknown: unknownChains(ruleset),
  };
}

function waysOf(
  state: KernelState,
  { view, addresses }: HostFactsForTrace,
  question: TraceQuestion,
): Pick<HostTrace, "endpoints" | "ways"> {
  const node = { ...view.self, addresses: [...view.self.addresses, ...addresses] };
  const host: TracedHost = { node, state };
  const probe = probeOf(view, question);
  let endpoints = 1;
  const walk = (index: number): TracedWay => {
    const choose = (n: number) => {
      endpoints = n;
      return index % n;
    };
    const { steps, outcome } = trace([host], probe, choose, view.peers);
    return { steps, outcome };
  };
  const ways = [walk(0)];
  while (ways.length < Math.min(endpoints, WAYS_MAX)) ways.push(walk(ways.length));
  return { endpoints, ways };
}

function probeOf({ self, localLinks }: MeshView, question: TraceQuestion): Probe {
  const { from, clientPort: _asked, ...packet } = question;
  const host = self.nodeID;
  switch (from.kind) {
    case "process":
      return { ...packet, from: { process: host } };
    case "uplink":
      return { ...packet, from: { host, link: "uplink" } };
    case "tunnel":
      return { ...packet, from: { host, link: LINK, etherSource: from.etherSource } };
    case "task": {
      const isIts = ({ address, address6 }: LocalLink) =>
        [address, address6].includes(from.address);
      const link = localLinks.find(isIts)?.link;
      return { ...packet, from: { host, link: link ?? "uplink" } };
    }
  }
}

function tracedPort(
  { view, interfaces }: HostFactsForTrace,
  table: Table | undefined,
  { protocol, port, destination }: TraceQuestion,
): TracedPort {
  const has = (set: string) => table?.sets.get(set)?.elements.has(`${protocol} . ${port}`) === true;
  const facts = {
    held: has("held"),
    answered: has(isOfIPv6(destination) ? "answered" : "services"),
  };
  for (const { serviceID, serviceName, ports, endpoints } of view.services) {
    const found = ports.find((one) => one.protocol === protocol && one.publishedPort === port);
    if (found === undefined) continue;
    const { allowedSources, boundTo } = found;
    const count = (state: MeshEndpoint["state"]) =>
      endpoints.filter((endpoint) => endpoint.state === state).length;
    const service = {
      ...{ id: serviceID, name: serviceName, live: count("live"), draining: count("draining") },
      ...(allowedSources === undefined ? {} : { allowedSources }),
      ...(boundTo === undefined ? {} : { boundTo }),
      ...(boundTo?.some(isLinkName) === true
        ? { answeredAt: addressesAt(boundTo, interfaces) }
        : {}),
    };
    return { ...facts, service };
  }
  return facts;
}

/** What is read back says of each rule only which it is; what it does, whoever wrote it knows. */
function withTexts(actual: Ruleset, known: Ruleset): Ruleset {
  const texts = new Map<string, string>();
  for (const { chains } of known.values()) {
    for (const { rules } of chains.values()) for (const { id, text } of rules) texts.set(id, text);
  }
  const withText = (table: Table): Table => ({
    sets: table.sets,
    chains: new Map(
      [...table.chains].map(([name, chain]) => [
        name,
        { ...chain, rules: chain.rules.map(({ id }) => ({ id, text: texts.get(id) ?? "" })) },
      ]),
    ),
  });
  return new Map([...actual].map(([name, table]) => [name, withText(table)]));
}

function unknownChains(ruleset: Ruleset): readonly string[] {
  return [...ruleset].flatMap(([table, { chains }]) =>
    [...chains].flatMap(([name, { rules }]) =>
      rules.some(({ text }) => text === "") ? [`${table} ${name}`] : [],
    ),
  );
}
