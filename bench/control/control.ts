/** The part "control": the same commands to Weft and to Docker's Swarm mode, each on three fresh hosts. */
import { Lab } from "../../src/lab/lab.ts";
import type { Progress } from "../progress.ts";
import { Cluster, type ClusterKind } from "./cluster.ts";
import { type ControlResult, type ControlSizes, measureControl } from "./measure.ts";

const KINDS: readonly ClusterKind[] = ["Weft", "Docker Swarm"];
const SIZES: ControlSizes = { creates: 3, services: 100, tasks: 1_000 };
const SIZES_QUICK: ControlSizes = { creates: 1, services: 10, tasks: 1_000 };

export interface ControlReport {
  readonly clusters: readonly ControlResult[];
}

/** One after the other: two clusters at once would be in each other's way. */
export async function benchControl(
  options: { readonly isQuick: boolean },
  progress: Progress,
): Promise<ControlReport> {
  const sizes = options.isQuick ? SIZES_QUICK : SIZES;
  const clusters: ControlResult[] = [];
  for (const kind of KINDS) {
    progress.part(`Control: three hosts with ${kind}`);
    await using lab = await Lab.create({ hosts: 3, clients: 1, images: ["nginx", "busybox"] });
    const cluster = new Cluster(kind, lab.hosts);
    clusters.push(await measureControl(cluster, lab.client(), sizes, progress));
  }
  return { clusters };
}
