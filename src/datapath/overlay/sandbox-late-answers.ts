/**
 * Late answers in a container's own namespace: as late-answers.ts has them for published ports, but with nothing between
 * the client and who answers, and ports untouched. So one map for each family is enough, and its rule does all.
 */
import { isOfIPv6 } from "../../base/ip-address.ts";
import type { Flow } from "../conntrack/listed-flows.ts";

type Family = "ip" | "ip6";
const FAMILIES = ["ip", "ip6"] as const;

/** Flows of one container for which one change waits; with more at a time those of the others are lost. */
export const SANDBOX_LATE_FLOWS_MAX = 4_096;

/** Longer than resolvers wait; full, it takes no more. */
const BOUNDS = `flags timeout; timeout 5s; size ${SANDBOX_LATE_FLOWS_MAX}`;

/** The maps, by name: by the answer's addresses and ports, the virtual IP that it is to come from. */
export const LATE_ANSWERS: readonly (readonly [name: string, type: string])[] = FAMILIES.map(
  (family) => {
    const address = family === "ip" ? "ipv4_addr" : "ipv6_addr";
    const key = `${address} . inet_service . ${address} . inet_service`;
    return [mapOf(family), `type ${key} : ${address}; ${BOUNDS}`];
  },
);

/** Before conntrack, which may know the client's port as a flow to another endpoint already. By protocol first. */
export const FROM_VIRTUAL_IP: readonly string[] = FAMILIES.map((family) => {
  const answer = `${family} saddr . udp sport . ${family} daddr . udp dport`;
  const map = mapOf(family);
  return `meta l4proto udp ${answer} @${map} notrack ${family} saddr set ${answer} map @${map}`;
});

function mapOf(family: Family): string {
  return family === "ip" ? "late_answers" : "late_answers6";
}

/** The elements of these flows, as a transaction; empty when there are none. */
export function sandboxLateAnswers(table: string, flows: readonly Flow[]): string {
  const elements = { ip: new Map<string, string>(), ip6: new Map<string, string>() };
  for (const { client, server, task } of flows.slice(0, SANDBOX_LATE_FLOWS_MAX)) {
    const key = `${task.address} . ${task.port} . ${client.address} . ${client.port}`;
    elements[isOfIPv6(server.address) ? "ip6" : "ip"].set(key, server.address);
  }
  return FAMILIES.flatMap((family) => {
    const list = [...elements[family]].map(([key, server]) => `${key} : ${server}`);
    if (list.length === 0) return [];
    return `add element ${table} ${mapOf(family)} { ${list.join(", ")} }\n`;
  }).join("");
}
