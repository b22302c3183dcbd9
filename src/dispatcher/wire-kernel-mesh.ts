/** A node's kernel as it says it is. Decoding believes nothing: a member may run other code than ours. */
import { InvalidParameterError } from "../base/errors.ts";
import type { KernelMesh, KernelPort } from "../datapath/inspect.ts";

/** Throws an InvalidParameterError when it is none. */
export function decodeKernelMesh(bytes: Uint8Array): KernelMesh {
  const value = recordOf(JSON.parse(Buffer.from(bytes).toString("utf8")));
  return {
    revision: numberOf(value["revision"]),
    ports: listOf(value["ports"]).map(decodePort),
    routed: listOf(value["routed"]).map(textOf),
    connections: Object.fromEntries(
      Object.entries(recordOf(value["connections"])).map(([address, n]) => [address, numberOf(n)]),
    ),
  };
}

function decodePort(value: unknown): KernelPort {
  const { protocol, publishedPort, live } = recordOf(value);
  if (protocol !== "tcp" && protocol !== "udp") throw wrong(value);
  return { protocol, publishedPort: numberOf(publishedPort), live: listOf(live).map(textOf) };
}

function recordOf(value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong(value);
  return value as Record<string, unknown>;
}

function listOf(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw wrong(value);
  return value;
}

function numberOf(value: unknown): number {
  if (typeof value !== "number") throw wrong(value);
  return value;
}

function textOf(value: unknown): string {
  if (typeof value !== "string") throw wrong(value);
  return value;
}

function wrong(value: unknown): InvalidParameterError {
  return new InvalidParameterError(`no kernel's mesh: ${JSON.stringify(value)?.slice(0, 100)}`);
}
