/** A node's kernel as it says it is. Decoding believes nothing: a member may run other code than ours. */
import type { KernelMesh, KernelPort } from "../datapath/inspect.ts";
import { listOf, numberOf, parseRecord, protocolOf, recordOf, textOf } from "./wire-json.ts";

/** Throws an InvalidParameterError when it is none. */
export function decodeKernelMesh(bytes: Uint8Array): KernelMesh {
  const value = parseRecord(bytes);
  const { publishDefault } = value;
  return {
    revision: numberOf(value["revision"]),
    ports: listOf(value["ports"]).map(decodePort),
    routed: listOf(value["routed"]).map(textOf),
    connections: Object.fromEntries(
      Object.entries(recordOf(value["connections"])).map(([address, n]) => [address, numberOf(n)]),
    ),
    ...(publishDefault === undefined ? {} : { publishDefault: listOf(publishDefault).map(textOf) }),
  };
}

function decodePort(value: unknown): KernelPort {
  const { protocol, publishedPort, live } = recordOf(value);
  return {
    protocol: protocolOf(protocol),
    publishedPort: numberOf(publishedPort),
    live: listOf(live).map(textOf),
  };
}
