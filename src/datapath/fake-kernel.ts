/**
 * A kernel in memory: runs a plan on a state, command by command, and refuses what the real one refuses.
 * For tests of plans; the real one is in test/netns.
 */
import { unreachable } from "../base/assert.ts";
import type { KernelState } from "./desired.ts";
import type { NetworkCommand } from "./ip/command.ts";
import type { NetworkState } from "./ip/state.ts";
import { routeKey, ruleKey } from "./ip/state.ts";
import { runTransaction } from "./nft/fake.ts";
import type { Plan } from "./plan.ts";

export class FakeKernelError extends Error {}

type Mutable = { [Key in keyof NetworkState]: Map<string, ValueOf<NetworkState[Key]>> };
type ValueOf<M> = M extends ReadonlyMap<string, infer Value> ? Value : never;

/** The state after the plan. What conntrack forgets leaves no trace in it. */
export function runPlan(state: KernelState, plan: Plan): Omit<KernelState, "endpoints"> {
  const before = plan.additions.reduce(runCommand, copyOf(state.network));
  const ruleset = runTransaction(state.ruleset, plan.transaction);
  return { ruleset, network: plan.removals.reduce(runCommand, before) };
}

function copyOf(network: NetworkState): Mutable {
  return {
    links: new Map(network.links),
    taskLinks: new Map(network.taskLinks),
    addresses: new Map(network.addresses),
    routes: new Map(network.routes),
    rules: new Map(network.rules),
    neighbours: new Map(network.neighbours),
    fdb: new Map(network.fdb),
    sysctls: new Map(network.sysctls),
  };
}

function runCommand(network: Mutable, command: NetworkCommand): Mutable {
  switch (command.kind) {
    case "link.add":
      if (network.links.has(command.name)) throw new FakeKernelError(`${command.name} exists`);
      network.links.set(command.name, { ...command.link, up: false });
      break;
    case "link.set":
      network.links.set(command.name, { ...command.link, up: command.from.up });
      break;
    case "link.up":
      network.links.set(command.name, { ...must(network.links.get(command.name)), up: true });
      break;
    case "link.delete":
      deleteLink(network, command.name);
      break;
    case "task-link.ready":
      network.taskLinks.set(command.name, {
        ...{ up: true, gateway: true },
        gateway6: command.link.gateway6,
      });
      break;
    case "address.add":
      must(network.links.get(command.key.split(" ")[0] ?? ""));
      network.addresses.set(command.key, true);
      break;
    case "address.delete":
      remove(network.addresses, command.key);
      break;
    case "route.replace":
      network.routes.set(routeKey(command.route), command.route);
      break;
    case "route.delete":
      remove(network.routes, routeKey(command.route));
      break;
    case "rule.add":
      network.rules.set(ruleKey(command.rule), command.rule);
      break;
    case "rule.delete":
      remove(network.rules, ruleKey(command.rule));
      break;
    case "neighbour.replace":
      network.neighbours.set(command.address, command.mac);
      break;
    case "neighbour.delete":
      remove(network.neighbours, command.address);
      break;
    case "fdb.replace":
      network.fdb.set(command.mac, command.to);
      break;
    case "fdb.delete":
      remove(network.fdb, command.mac);
      break;
    case "sysctl.set":
      network.sysctls.set(command.path, command.value);
      break;
    default:
      unreachable(command);
  }
  return network;
}

/** A link takes what hangs on it along. The only link of Weft's making is the tunnel's. */
function deleteLink(network: Mutable, name: string): void {
  remove(network.links, name);
  for (const key of network.addresses.keys()) {
    if (key.startsWith(`${name} `)) network.addresses.delete(key);
  }
  for (const [key, route] of network.routes) if (route.device === name) network.routes.delete(key);
  for (const path of network.sysctls.keys()) {
    if (path.includes(`/${name}/`)) network.sysctls.delete(path);
  }
  network.neighbours.clear();
  network.fdb.clear();
}

function remove<T>(from: Map<string, T>, key: string): void {
  if (!from.delete(key)) throw new FakeKernelError(`no ${key}`);
}

function must<T>(value: T | undefined): T {
  if (value === undefined) throw new FakeKernelError("no such thing");
  return value;
}
