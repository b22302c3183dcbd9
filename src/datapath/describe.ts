/** Says in plain words what was wrong, from the command that puts it right. */
import { unreachable } from "../base/assert.ts";
import type { NetworkCommand } from "./ip/command.ts";
import type { Route, TaskLink } from "./ip/state.ts";
import { LINK, TASK_GATEWAY, TASK_GATEWAY6 } from "./names.ts";
import type { NftCommand } from "./nft/transaction.ts";
import type { Plan } from "./plan.ts";

/** Something in the kernel that was not as it should be. */
export interface Drift {
  /** For people: "route 10.255.0.9 via 10.255.0.3 dev weft0 was missing". */
  readonly text: string;
}

/** The drifts that a plan mends; nothing for what conntrack is to forget. */
export function driftsOf(plan: Pick<Plan, "additions" | "transaction" | "removals">): Drift[] {
  const links = new Set(
    plan.additions.flatMap((one) => (one.kind === "link.add" ? [one.name] : [])),
  );
  const tables = new Set(
    plan.transaction.flatMap((one) => (one.kind === "table.add" ? [one.table] : [])),
  );
  const texts = [
    ...plan.additions.filter((one) => !hangsOn(one, links)).map(describeNetwork),
    ...plan.transaction
      .filter((one) => one.kind === "table.add" || !tables.has(one.table))
      .flatMap(describeRules),
    ...plan.removals.map(describeNetwork),
  ];
  return [...new Set(texts)].map((text) => ({ text }));
}

/** What a missing link has taken along is not told one by one. */
function hangsOn(command: NetworkCommand, links: ReadonlySet<string>): boolean {
  if (command.kind === "link.up") return links.has(command.name);
  if (command.kind === "address.add") return links.has(command.key.split(" ")[0] ?? "");
  if (command.kind === "route.replace") return links.has(command.route.device);
  if (command.kind === "neighbour.replace" || command.kind === "fdb.replace") {
    return links.has(LINK);
  }
  return command.kind === "sysctl.set" && command.path.split("/").some((part) => links.has(part));
}

function describeNetwork(command: NetworkCommand): string {
  switch (command.kind) {
    case "link.add":
      return `link ${command.name} was missing`;
    case "link.set":
      return `link ${command.name} had another address, MTU or local end`;
    case "link.up":
      return `link ${command.name} was down`;
    case "link.delete":
      return `link ${command.name} was not as it must be made`;
    case "task-link.ready":
      return `link ${command.name} ${ailment(command.from)}`;
    case "address.add":
      return `address ${command.key} was missing`;
    case "address.delete":
      return `address ${command.key} was too many`;
    case "route.replace":
      return command.from === undefined
        ? `route ${wayOf(command.route)} was missing`
        : `route ${wayOf(command.from)} should lead ${wayOf(command.route)}`;
    case "route.delete":
      return `route ${wayOf(command.route)} was too many`;
    case "rule.add":
      return `routing rule ${command.rule.priority} was missing or different`;
    case "rule.delete":
      return `routing rule ${command.rule.priority} was too many or different`;
    case "neighbour.replace":
      return `neighbour ${command.address} was missing or different`;
    case "neighbour.delete":
      return `neighbour ${command.address} was too many`;
    case "fdb.replace":
      return `forwarding entry ${command.mac} to ${command.to} was missing or different`;
    case "fdb.delete":
      return `forwarding entry ${command.mac} to ${command.to} was too many`;
    case "sysctl.set":
      return `${command.path.replaceAll("/", ".")} was ${command.from ?? "not set"} instead of ${command.value}`;
    default:
      return unreachable(command);
  }
}

function ailment(from: TaskLink | undefined): string {
  if (from?.up === false) return "was down";
  if (from === undefined) return "was new";
  return `had lost its address ${from.gateway ? TASK_GATEWAY6 : TASK_GATEWAY}`;
}

function wayOf(route: Route): string {
  const via = route.via === undefined ? "" : ` via ${route.via}`;
  return `${route.destination}${via} dev ${route.device}`;
}

/** One sentence for each thing: the rules of a chain that was missing are not told one by one. */
function describeRules(command: NftCommand): string[] {
  switch (command.kind) {
    case "table.add":
      return [`table ${command.table} was missing`];
    case "table.delete":
      return [`table ${command.table} had lost its device`];
    case "set.add":
      return [`set ${command.name} of ${command.table} was missing`];
    case "set.delete":
      return [`set ${command.name} of ${command.table} was too many`];
    case "chain.add":
      return [`chain ${command.name} of ${command.table} was missing or hooked elsewhere`];
    case "chain.delete":
      return [`chain ${command.name} of ${command.table} was too many`];
    case "chain.flush":
      return [];
    case "rule.add":
      return [`rules of chain ${command.chain} of ${command.table} were missing or changed`];
    case "elements.add":
      return [`${command.set} lacked ${command.elements.map(([key]) => key).join(", ")}`];
    case "elements.delete":
      return [`${command.set} wrongly had ${command.keys.join(", ")}`];
    default:
      return unreachable(command);
  }
}
