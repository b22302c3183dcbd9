/** The part "networks": what many overlay networks cost a node, and whether one of them is slower to change for the others. */
import { bridgeCommands, bridgeName, portCommands } from "../../src/base/overlay-links.ts";
import { LabError } from "../../src/lab/errors.ts";
import type { Host } from "../../src/lab/host.ts";
import { Lab } from "../../src/lab/lab.ts";
import type { Progress } from "../progress.ts";
import { type Summary, summarize } from "../stats.ts";
import { type LocalContainer, localContainer } from "./view.ts";
import type { NetworksTimes, NetworksWork } from "./worker.ts";

const SIZES = [10, 100, 1_000];
const SIZES_QUICK = [10, 300];
const CHANGES = 10;
const WORKER = new URL("./worker.ts", import.meta.url).pathname;
const WORKER_TIMEOUT_MS = 300_000;

/** A node with this many networks. */
export interface NetworksResult extends Omit<NetworksTimes, "changeMs"> {
  readonly networks: number;
  readonly change: Summary;
}

export interface NetworksReport {
  readonly sizes: readonly NetworksResult[];
}

export async function benchNetworks(
  options: { readonly isQuick: boolean },
  progress: Progress,
): Promise<NetworksReport> {
  const sizes = options.isQuick ? SIZES_QUICK : SIZES;
  progress.part(`Networks: ${sizes.join(", ")} overlay networks with a container each`);
  await using lab = await Lab.create({ hosts: sizes.length, clients: 0, engine: false });
  const results: NetworksResult[] = [];
  for (const [index, networks] of sizes.entries()) {
    progress.step(`${networks} networks: containers`);
    const host = lab.host(index + 1);
    await makeContainers(host, networks);
    progress.step(`${networks} networks: apply and change`);
    results.push(await measure(host, networks));
  }
  return { sizes: results };
}

async function measure(host: Host, networks: number): Promise<NetworksResult> {
  const plan: NetworksWork = { networks, underlayAddress: host.ip, changes: CHANGES };
  const argv = [process.execPath, WORKER, JSON.stringify(plan)];
  const { code, stdout, stderr } = await host.exec(argv, { timeoutMs: WORKER_TIMEOUT_MS });
  if (code !== 0) throw new LabError(`${networks} networks: ${stderr}`);
  const { changeMs, ...rest } = JSON.parse(stdout) as NetworksTimes;
  return { networks, ...rest, change: summarize(changeMs) };
}

/** As the keeper and the Engine make them: bridge, port and namespace. */
async function makeContainers(host: Host, count: number): Promise<void> {
  const containers = Array.from({ length: count }, (_, at) => localContainer(at));
  const { code, stderr } = await host.exec(["ip", "-batch", "-"], {
    stdin: containers.flatMap(linesOf).join("\n"),
    timeoutMs: WORKER_TIMEOUT_MS,
  });
  if (code !== 0) throw new LabError(`containers of ${host.name}: ${stderr}`);
}

function linesOf({ vni, link, mac, namespace }: LocalContainer): readonly string[] {
  const bridge = bridgeName(vni);
  return [
    `netns add ${namespace}`,
    ...bridgeCommands(bridge),
    `link add ${link} mtu 1450 type veth peer name eth0 address ${mac} mtu 1450 netns ${namespace}`,
    ...portCommands(link, bridge),
  ];
}
