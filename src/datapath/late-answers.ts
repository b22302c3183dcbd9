/**
 * A datagram's answer may be on its way when its flow is forgotten, so that the client's next datagram goes to another
 * task. Nobody would then know in whose name to deliver it. So for a few seconds the rules do, by elements that name the
 * flow: such an answer passes conntrack by, which may know the client's port as a new flow's already, and gets its
 * server's address and port back on its last way out of this host, or into it.
 */
import { byFamily } from "../base/ip-address.ts";
import type { Flow } from "./conntrack/listed-flows.ts";
import type { KernelState } from "./desired.ts";
import { TABLE } from "./names.ts";

/** Flows for which one change waits for late answers; those of the others are lost, if there are any. */
export const LATE_FLOWS_MAX = 10_000;

type Family = "ip" | "ip6";

/** Of the names of what IPv6 has beside IPv4. */
const SUFFIX: Readonly<Record<Family, string>> = { ip: "", ip6: "6" };

/** Longer than resolvers wait; full, they take no more. */
const BOUNDS = "flags timeout; timeout 5s; size 65535";

function answerOf(family: Family): string {
  return `${family} saddr . udp sport . ${family} daddr . udp dport`;
}

/** The maps of one family, by name: from an answer's addresses and ports the port that it is to come from, then the address. */
export function lateAnswerTypes(
  family: Family,
): readonly (readonly [name: string, type: string])[] {
  const address = family === "ip" ? "ipv4_addr" : "ipv6_addr";
  const key = `${address} . inet_service . ${address} . inet_service`;
  return [
    [`late_port${SUFFIX[family]}`, `type ${key} : inet_service; ${BOUNDS}`],
    [`late_address${SUFFIX[family]}`, `type ${key} : ${address}; ${BOUNDS}`],
  ];
}

/** Before conntrack, of what comes from tasks. */
export const PASS_BY = (["ip", "ip6"] as const).map(
  (family) => `meta l4proto udp ${answerOf(family)} @late_port${SUFFIX[family]} notrack accept`,
);
/** Where a packet leaves the host or comes to a process. By protocol first, which costs most packets least. */
export const TO_LATE_ANSWER = "meta l4proto udp ct state untracked jump late_answer";
export const LATE_ANSWER = (["ip", "ip6"] as const).flatMap((family) => [
  `udp sport set ${answerOf(family)} map @late_port${SUFFIX[family]}`,
  `${family} saddr set ${answerOf(family)} map @late_address${SUFFIX[family]}`,
]);

/** Addresses of tasks whose UDP flows are forgotten though the tasks still answer. */
export function planLateAnswers(actual: KernelState, desired: KernelState): readonly string[] {
  const served = new Set<string>();
  for (const suffix of Object.values(SUFFIX)) {
    const endpoints = actual.ruleset.get(TABLE)?.sets.get(`udp_endpoints${suffix}`)?.elements;
    for (const target of endpoints?.values() ?? []) served.add(target.split(" . ")[0] ?? "");
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
  const isDirect = ({ client, replyTo }: Flow) =>
    replyTo.address === client.address && replyTo.port === client.port;
  const named = new Map<string, Flow>();
  for (const flow of flows.filter(isDirect)) {
    if (named.size === LATE_FLOWS_MAX) break;
    named.set(`${flow.task.address} . ${flow.task.port} . ${whereTo(flow)}`, flow);
  }
  const { ipv4, ipv6 } = byFamily([...named], ([, { task }]) => task.address);
  return add(ipv4, SUFFIX.ip) + add(ipv6, SUFFIX.ip6);
}

function whereTo({ client }: Flow): string {
  return `${client.address} . ${client.port}`;
}

function add(flows: readonly (readonly [answer: string, flow: Flow])[], suffix: string): string {
  if (flows.length === 0) return "";
  const ports = flows.map(([answer, { server }]) => `${answer} : ${server.port}`);
  const addresses = flows.map(
    ([, flow]) =>
      `${flow.task.address} . ${flow.server.port} . ${whereTo(flow)} : ${flow.server.address}`,
  );
  const element = (set: string, list: readonly string[]) =>
    `add element ${TABLE} ${set}${suffix} { ${[...new Set(list)].join(", ")} }\n`;
  return element("late_port", ports) + element("late_address", addresses);
}
