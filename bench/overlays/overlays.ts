/** The part "overlays": from container to container on another host, by address and by virtual IP, beside bare VXLAN. */
import { Lab } from "../../src/lab/lab.ts";
import type { Place } from "../../src/lab/place.ts";
import { SERVED, type Served, type Target } from "../loads/load.ts";
import { measureLoads } from "../paths/measure.ts";
import type { Path } from "../paths/path.ts";
import type { PathsReport } from "../paths/paths.ts";
import { SERVED_PORTS } from "../paths/servers.ts";
import type { Progress } from "../progress.ts";
import { makeBareNetwork } from "./bare-network.ts";
import { makeWeftNetwork } from "./weft-network.ts";

const ROUNDS = 7;
const ROUNDS_QUICK = 2;

const BRIDGED_VXLAN = "bridged over VXLAN";

export async function benchOverlays(
  options: { readonly isQuick: boolean },
  progress: Progress,
): Promise<PathsReport> {
  progress.part("Overlays: four hosts, a container as client for each path");
  const rounds = options.isQuick ? ROUNDS_QUICK : ROUNDS;
  await using lab = await Lab.create({ hosts: 4, clients: 0, images: ["busybox"] });
  progress.step("forming a cluster, making the bare network");
  const [weft, bare] = await Promise.all([
    makeWeftNetwork(lab.host(1), lab.host(2)),
    makeBareNetwork(lab.host(3), lab.host(4)),
  ]);
  const [byAddress, byVirtualIP] = weft.clients;
  const paths = [
    pathOf(BRIDGED_VXLAN, undefined, bare.client, bare.address),
    pathOf("Weft, task's address", BRIDGED_VXLAN, byAddress, weft.address),
    pathOf("Weft, virtual IP", BRIDGED_VXLAN, byVirtualIP, weft.virtualIP),
  ];
  for (const { client } of paths) await manyConnections(client);
  return { rounds, loads: await measureLoads(paths, rounds, progress), notes: [] };
}

function pathOf(name: string, limit: string | undefined, client: Place, address: string): Path {
  const target = (served: Served): [Served, Target] => [
    served,
    { address, port: SERVED_PORTS[served] },
  ];
  const targets = Object.fromEntries(SERVED.map(target)) as Record<Served, Target>;
  return { name, limit, client, targets };
}

/** As for the paths: every port is free to use, and one in TIME_WAIT may be used again. */
async function manyConnections(client: Place): Promise<void> {
  const settings = ["net.ipv4.ip_local_port_range=1024 65535", "net.ipv4.tcp_tw_reuse=1"];
  for (const setting of settings) await client.exec(["sysctl", "-qw", setting]);
}
