/** What one node's kernel holds of the mesh, as read back: not what it was told. Pure. */
import type { KernelState } from "./desired.ts";
import { TABLE } from "./names.ts";
import type { MeshProtocol } from "./view.ts";

/** A published port with the endpoints that new connections are led to. */
export interface KernelPort {
  readonly protocol: MeshProtocol;
  readonly publishedPort: number;
  readonly live: readonly string[];
}

export interface KernelMesh {
  /** The endpoint revision that was applied last; 0 when none was since the daemon's start. */
  readonly revision: number;
  readonly ports: readonly KernelPort[];
  /** Addresses of endpoints that packets find, live or not. */
  readonly routed: readonly string[];
  /** TCP connections that this node's kernel knows, by the endpoint's address. */
  readonly connections: Readonly<Record<string, number>>;
  /** Networks of the node's addresses at which ports are answered whose service does not say; all when absent. */
  readonly publishDefault?: readonly string[];
}

/** `flows` is what `conntrack -L -p tcp` prints. */
export function kernelMesh(revision: number, state: KernelState, flows: string): KernelMesh {
  return {
    revision,
    ports: portsOf(state),
    routed: [...state.endpoints.keys()],
    connections: connectionsOf(flows),
  };
}

function portsOf({ ruleset }: KernelState): readonly KernelPort[] {
  const sets = ruleset.get(TABLE)?.sets;
  const live = new Map<string, string[]>();
  for (const protocol of ["tcp", "udp"] as const) {
    for (const [key, target] of sets?.get(`${protocol}_endpoints`)?.elements ?? []) {
      const port = `${protocol} . ${key.split(" . ")[0]}`;
      const addresses = live.get(port) ?? [];
      addresses.push(target.split(" . ")[0] ?? "");
      live.set(port, addresses);
    }
  }
  return [...(sets?.get("services")?.elements.keys() ?? [])].map((key) => {
    const [protocol, port] = key.split(" . ");
    return {
      protocol: protocol as MeshProtocol,
      publishedPort: Number(port),
      live: [...new Set(live.get(key) ?? [])],
    };
  });
}

/** Half-closed ones too; what is over is only remembered. */
const OPEN = /\b(ESTABLISHED|FIN_WAIT|CLOSE_WAIT) /;

/** A reply comes from the task itself, however its request was led there. */
function connectionsOf(flows: string): Record<string, number> {
  const connections: Record<string, number> = {};
  for (const line of flows.split("\n")) {
    if (!OPEN.test(line)) continue;
    const replySource = [...line.matchAll(/ src=(\S+)/g)][1]?.[1];
    if (replySource !== undefined) connections[replySource] = (connections[replySource] ?? 0) + 1;
  }
  return connections;
}
