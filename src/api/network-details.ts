/** What `network inspect --verbose` shows beside the network itself: its services with their tasks, and the hosts that they are on. */
import { dataPathAddrOf, serviceNetworks } from "../cluster/finders.ts";
import { taskName } from "../cluster/names.ts";
import type { Attachment, Network, Node, Service, Task } from "../cluster/objects.ts";
import type { Snapshot } from "../cluster/store.ts";
import { isOver } from "../cluster/task-lifecycle.ts";

/** As Docker's `Services` and `Peers`; by the cluster's state, so that they are the same on every manager. */
export function networkDetails(snapshot: Snapshot, network: Network) {
  const members = snapshot.list("task").filter((task) => addressIn(task, network) !== undefined);
  const attached = snapshot.list("attachment").filter(({ networkID }) => networkID === network.id);
  const nodes = new Set([...members, ...attached].map(({ nodeID }) => nodeID));
  return {
    Peers: [...nodes].flatMap((nodeID) => {
      const node = nodeID === undefined ? undefined : snapshot.get("node", nodeID);
      return node === undefined
        ? []
        : [{ Name: node.description?.hostname ?? node.id, IP: node.status.addr }];
    }),
    Services: Object.fromEntries(
      snapshot
        .list("service")
        .filter((service) => isIn(snapshot, service, network))
        .map((service) => [service.spec.name, encodeService(snapshot, service, network)])
        .concat(attached.length === 0 ? [] : [["", encodeAttached(snapshot, attached)]]),
    ),
  };
}

/** Docker lists containers of users' own as tasks of a service without a name. */
function encodeAttached(snapshot: Snapshot, attached: readonly Attachment[]) {
  const Tasks = attached.map(({ containerName, addresses, nodeID }) => ({
    Name: containerName,
    EndpointID: "",
    EndpointIP: bare(addresses[0] ?? ""),
    Info: { "Host IP": hostIPOf(snapshot.get("node", nodeID)) },
  }));
  return { VIP: "<nil>", Ports: [], LocalLBIndex: 0, Tasks };
}

function encodeService(snapshot: Snapshot, service: Service, network: Network) {
  const virtualIP = service.endpoint?.virtualIPs.find(({ networkID }) => networkID === network.id);
  const ports = network.spec.ingress ? (service.endpoint?.ports ?? []) : [];
  return {
    VIP: bare(virtualIP?.addr ?? "<nil>"),
    Ports: ports.map(
      ({ targetPort, publishedPort = 0 }) => `Target: ${targetPort}, Publish: ${publishedPort}`,
    ),
    LocalLBIndex: 0,
    Tasks: snapshot.tasksOfService(service.id).flatMap((task) => {
      const address = addressIn(task, network);
      const host = task.nodeID === undefined ? undefined : snapshot.get("node", task.nodeID);
      return address === undefined
        ? []
        : [
            {
              Name: taskName(task),
              EndpointID: "",
              EndpointIP: address,
              Info: { "Host IP": hostIPOf(host) },
            },
          ];
    }),
  };
}

/** Where the network's packets to it go. */
function hostIPOf(node: Node | undefined): string {
  return node === undefined ? "" : dataPathAddrOf(node.status);
}

function isIn(snapshot: Snapshot, service: Service, network: Network): boolean {
  if (network.spec.ingress) {
    return (service.endpoint?.ports ?? []).some(({ publishMode }) => publishMode === "ingress");
  }
  return serviceNetworks(snapshot, service.spec).some((each) => each.network.id === network.id);
}

function addressIn(task: Task, network: Network): string | undefined {
  if (isOver(task)) return undefined;
  const attachment = task.networksAttachments.find((each) => each.network.id === network.id);
  return attachment?.addresses[0] === undefined ? undefined : bare(attachment.addresses[0]);
}

function bare(address: string): string {
  return address.split("/")[0] ?? address;
}
