/**
 * A datagram's answer may be on its way when its flow is forgotten, so that the client's next datagram goes to another
 * task. Nobody would then know in whose name to deliver it. So for a few seconds the rules do, by elements that name the
 * flow: such an answer passes conntrack by, which may know the client's port as a new flow's already, and gets its
 * server's address and port back on its last way out of this host, or into it.
 */
import type { Flow } from "./conntrack/messages.ts";
import type { KernelState } from "./desired.ts";
import { TABLE } from "./names.ts";

/** Flows for which one change waits for late answers; those of the others are lost, if there are any. */
export const LATE_FLOWS_MAX = 10_000;

const ANSWER = "ip saddr . udp sport . ip daddr . udp dport";
const KEY = "ipv4_addr . inet_service . ipv4_addr . inet_service";
/** Longer than resolvers wait; full, they take no more. */
const BOUNDS = "flags timeout; timeout 5s; size 65535";

/** By the answer's addresses and ports, the port that it is to come from. */
export const LATE_PORT_TYPE = `type ${KEY} : inet_service; ${BOUNDS}`;
/** By the same, once it has that port, the address. */
export const LATE_ADDRESS_TYPE = `type ${KEY} : ipv4_addr; ${BOUNDS}`;

/** Before conntrack, of what comes from tasks. */
export const PASS_BY = `meta l4proto udp ${ANSWER} @late_port notrack accept`;
/** Where a packet leaves the host or comes to a process. By protocol first, which costs most packets least. */
export const TO_LATE_ANSWER = "meta l4proto udp ct state untracked jump late_answer";
export const LATE_ANSWER = [
  `udp sport set ${ANSWER} map @late_port`,
  `ip saddr set ${ANSWER} map @late_address`,
];

/** Addresses of tasks whose UDP flows are forgotten though the tasks still answer. */
export function planLateAnswers(actual: KernelState, desired: KernelState): readonly string[] {
  const served = new Set<string>();
  for (const target of actual.ruleset.get(TABLE)?.sets.get("udp_endpoints")?.elements.values() ??
    []) {
    served.add(target.split(" . ")[0] ?? "");
  }
  return [...served].filter(
    (address) =>
      desired.endpoints.get(address) === "draining" && actual.endpoints.get(address) !== "draining",
  );
}

/**
 * The elements of these flows, as a transaction; empty when there are none. A client that is seen as this node itself
 * has its own address to be put back too, which only conntrack can do: its late answer is lost.
 */
export function lateAnswersTransaction(flows: readonly Flow[]): string {
  const ports = new Map<string, number>();
  const addresses = new Map<string, string>();
  for (const { client, server, task, replyTo } of flows) {
    if (replyTo.address !== client.address || replyTo.port !== client.port) continue;
    if (ports.size === LATE_FLOWS_MAX) break;
    const to = `${client.address} . ${client.port}`;
    ports.set(`${task.address} . ${task.port} . ${to}`, server.port);
    addresses.set(`${task.address} . ${server.port} . ${to}`, server.address);
  }
  if (ports.size === 0) return "";
  return `${add("late_port", ports)}${add("late_address", addresses)}`;
}

function add(set: string, elements: ReadonlyMap<string, string | number>): string {
  const list = [...elements].map(([key, value]) => `${key} : ${value}`).join(", ");
  return `add element ${TABLE} ${set} { ${list} }\n`;
}
