/** Does one operation after the other under load, and tells of each what clients saw. */
import type { SoakCluster } from "./cluster.ts";
import { Loads } from "./loads.ts";
import type { Operation } from "./operations.ts";
import type { OperationResult } from "./report.ts";

/** Ends early when the signal does; what was done until then is the result. */
export async function runOperations(
  cluster: SoakCluster,
  operations: Iterable<Operation>,
  onResult: (result: OperationResult) => void,
  signal?: AbortSignal,
): Promise<OperationResult[]> {
  const results: OperationResult[] = [];
  await using loads = await Loads.start(cluster);
  for (const operation of operations) {
    if (signal?.aborted === true) break;
    const result = await runOne(cluster, loads, operation);
    results.push(result);
    onResult(result);
  }
  return results;
}

/** One operation, from its start until every load has gone over what it left. */
export async function runOne(
  cluster: SoakCluster,
  loads: Loads,
  operation: Operation,
): Promise<OperationResult> {
  const endSpan = loads.watch();
  const startedAt = Date.now();
  await operation.run(cluster);
  const tookMs = Date.now() - startedAt;
  return { operation, tookMs, startedAt, spans: await endSpan() };
}
