/** `/_ping`: the Engine's own answer, but whether this node is in a swarm is Weft's to say. */

import type { LocalNodeStatus } from "./backend.ts";
import type { Answer, ApiCall } from "./call.ts";

export async function ping(call: ApiCall): Promise<Answer> {
  const { backend, engine } = call.context;
  await engine.forward(call.request, call.response, call.url, {
    editHeaders: (headers) => [
      ...withoutHeader(headers, "swarm"),
      "Swarm",
      swarmHeader(backend.status()),
    ],
  });
  return undefined;
}

/** As Docker's since API 1.42: the state, and for an active node its part. */
function swarmHeader(status: LocalNodeStatus): string {
  if (status.state !== "active") return status.state;
  return status.controlAvailable ? "active/manager" : "active/worker";
}

function withoutHeader(rawHeaders: readonly string[], name: string): string[] {
  const kept: string[] = [];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const header = rawHeaders[at] ?? "";
    if (header.toLowerCase() !== name) kept.push(header, rawHeaders[at + 1] ?? "");
  }
  return kept;
}
