/** Why a port is answered as it is on a node, in words: from what the node says of it. Pure. */
import { unreachable } from "../base/assert.ts";
import { isLinkName } from "../base/link-name.ts";
import type { TracedPort, TraceQuestion } from "../datapath/host-trace.ts";
import type { KnownConnection } from "../datapath/known-connection.ts";
import { isWithin } from "../datapath/nft/interpret.ts";
import type { Outcome } from "../datapath/trace.ts";

/** What the entry node knows of the port, a line for each fact. */
export function portNotes(port: TracedPort, asked: TraceQuestion, hostname: string): string[] {
  const name = `port ${asked.port}/${asked.protocol}`;
  const { service, held, problem } = port;
  const isHeld = held ? `${hostname} holds ${name}` : `${hostname} does not hold ${name}`;
  const holding = problem === undefined ? isHeld : `${isHeld}: ${problem}`;
  if (service === undefined) return [holding, `no service publishes ${name} in the mesh`];
  const { allowedSources, boundTo } = service;
  return [
    holding,
    `service ${service.name} publishes it, ${service.live} live and ${service.draining} draining endpoints`,
    ...(allowedSources === undefined ? [] : [`led there: clients in ${allowedSources.join(", ")}`]),
    ...(boundTo === undefined ? [] : [`answered at: ${places(boundTo, service.answeredAt)}`]),
  ];
}

/** What the client's port has already: no rule is asked for its packets any more. */
export function connectionNotes(known: readonly KnownConnection[], hostname: string): string[] {
  return known.map(
    ({ state, to }) =>
      `${hostname} knows a connection of this client port (${state}): its packets go on to ${to}, whatever is said below`,
  );
}

/** Why the packet ends where it does, when that is no task. */
export function whyNot(
  outcome: Exclude<Outcome, { kind: "task" }>,
  port: TracedPort,
  asked: TraceQuestion,
  hostname: string,
): string {
  switch (outcome.kind) {
    case "refused":
      return `${hostname} refuses it: ${whyRefused(port, asked)}`;
    case "dropped":
      return `${hostname} drops it (${outcome.in})`;
    case "gone":
      return `it leaves ${hostname} for the LAN, from ${outcome.source}: no address of the mesh's`;
    case "process":
      return whyProcess(port, asked, hostname);
    case "tunnel":
      return `it goes to ${outcome.to}, which is no member any more`;
    default:
      return unreachable(outcome);
  }
}

function whyRefused({ service, answered, held, problem }: TracedPort, asked: TraceQuestion) {
  if (service === undefined) {
    return held ? "the port is held, and no service publishes it any more" : "nobody is there";
  }
  const { name, allowedSources, boundTo, answeredAt = boundTo, live, draining } = service;
  if (answeredAt !== undefined && !isAmong(answeredAt, asked.destination)) {
    const here = problem === undefined ? asked.destination : `this node: ${problem}`;
    return `service ${name} is not answered at ${here} (label weft.publish.address, or else the node's --publish-default-address)`;
  }
  const isClient = asked.from.kind !== "process";
  if (isClient && allowedSources !== undefined && !isAmong(allowedSources, asked.source)) {
    return `${asked.source} may not reach service ${name} (label weft.publish.allow)`;
  }
  if (live === 0) return `service ${name} has no live endpoint (${draining} draining)`;
  if (!answered)
    return `its kernel leads the port nowhere, though service ${name} has ${live} live`;
  return `the endpoint of service ${name} that it is led to is not there`;
}

function whyProcess(
  { held, problem, service }: TracedPort,
  asked: TraceQuestion,
  hostname: string,
) {
  const name = `${asked.port}/${asked.protocol}`;
  if (problem !== undefined) return `a process of ${hostname} has the port and answers: ${problem}`;
  if (held)
    return `it reaches ${hostname}'s own listener: the rules that should lead it are not there`;
  if (service !== undefined) {
    return `it is left to ${hostname}'s own processes: the port is not held there (yet)`;
  }
  return `it is left to ${hostname}'s own processes: no service publishes ${name} in the mesh`;
}

/** As "addresses in 10.0.0.0/8, and of interface eth1 (now 192.168.9.1)". */
function places(boundTo: readonly string[], answeredAt: readonly string[] | undefined): string {
  const names = boundTo.filter(isLinkName);
  const networks = boundTo.filter((word) => !isLinkName(word));
  const now = (answeredAt ?? []).filter((address) => !networks.includes(address));
  const has = now.length === 0 ? "which add no address here" : `now ${now.join(", ")}`;
  return [
    ...(networks.length === 0 ? [] : [`addresses in ${networks.join(", ")}`]),
    ...(names.length === 0 ? [] : [`those of interface ${names.join(", ")} (${has})`]),
  ].join(", and ");
}

function isAmong(networks: readonly string[], address: string): boolean {
  return networks.some((network) => isWithin(address, network));
}
