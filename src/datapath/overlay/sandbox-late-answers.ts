/**
 * Late answers in a container's own namespace: as late-answers.ts has them for published ports, but with nothing between
 * the client and who answers, and ports untouched. So one map is enough, and its rule does all.
 */
import type { Flow } from "../conntrack/messages.ts";

const ANSWER = "ip saddr . udp sport . ip daddr . udp dport";
const KEY = "ipv4_addr . inet_service . ipv4_addr . inet_service";

/** Flows of one container for which one change waits; with more at a time those of the others are lost. */
export const SANDBOX_LATE_FLOWS_MAX = 4_096;

export const LATE_ANSWERS = "late_answers";
/** By the answer's addresses and ports, the virtual IP that it is to come from. Longer than resolvers wait; full, it takes no more. */
export const LATE_ANSWERS_TYPE = `type ${KEY} : ipv4_addr; flags timeout; timeout 5s; size ${SANDBOX_LATE_FLOWS_MAX}`;

/** Before conntrack, which may know the client's port as a flow to another endpoint already. By protocol first. */
export const FROM_VIRTUAL_IP = `meta l4proto udp ${ANSWER} @${LATE_ANSWERS} notrack ip saddr set ${ANSWER} map @${LATE_ANSWERS}`;

/** The elements of these flows, as a transaction; empty when there are none. */
export function sandboxLateAnswers(table: string, flows: readonly Flow[]): string {
  const elements = new Map<string, string>();
  for (const { client, server, task } of flows.slice(0, SANDBOX_LATE_FLOWS_MAX)) {
    const key = `${task.address} . ${task.port} . ${client.address} . ${client.port}`;
    elements.set(key, server.address);
  }
  if (elements.size === 0) return "";
  const list = [...elements].map(([key, server]) => `${key} : ${server}`);
  return `add element ${table} ${LATE_ANSWERS} { ${list.join(", ")} }\n`;
}
