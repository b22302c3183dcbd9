/** Many overlay networks as a manager would tell them to node 1: a container of each is here, the others elsewhere. */
import { macOf } from "../../src/base/overlay-links.ts";
import type { OverlayEndpoint, OverlayNetwork } from "../../src/datapath/overlay/view.ts";
import type { MeshView } from "../../src/datapath/view.ts";
import { scaleView } from "../scale/view.ts";

export const ENDPOINTS_PER_NETWORK = 10;
const FIRST_VNI = 4_097;

export interface NetworksInit {
  readonly networks: number;
  /** Node 1's address on the LAN. */
  readonly underlayAddress: string;
}

/** A container of this node: alone in its network here. */
export interface LocalContainer {
  readonly vni: number;
  readonly address: string;
  readonly mac: string;
  /** The host's end of its link, and its network namespace by name and by file. */
  readonly link: string;
  readonly namespace: string;
  readonly sandbox: string;
}

export function localContainer(at: number): LocalContainer {
  const address = addressOf(at, 0);
  const namespace = `bench${at}`;
  return {
    ...{ vni: FIRST_VNI + at, address, mac: macOf(address), namespace },
    link: `wo${at.toString(16).padStart(12, "0")}`,
    sandbox: `/run/netns/${namespace}`,
  };
}

export function networksView({ networks: count, underlayAddress }: NetworksInit): MeshView {
  const bare = scaleView({ services: 1, underlayAddress });
  const containers = Array.from({ length: count }, (_, at) => localContainer(at));
  return {
    ...{ ...bare, services: [], localLinks: [], heldPorts: new Set<string>() },
    networks: containers.map((_, at) => networkOf(at)),
    overlayLinks: containers.map(({ vni, address, link, sandbox }) => {
      return { vni, address, link, sandbox };
    }),
  };
}

/** The same after one remote endpoint of one network became draining; all else is the very same object. */
export function withDrainingIn(view: MeshView, network: number, revision: number): MeshView {
  const networks = view.networks.map((one, at) =>
    at === network
      ? {
          ...one,
          services: one.services.map((service) => ({
            ...service,
            endpoints: service.endpoints.map(drainSecond),
          })),
        }
      : one,
  );
  return { ...view, revision, networks };
}

function drainSecond(endpoint: OverlayEndpoint, at: number): OverlayEndpoint {
  return at === 1 ? { ...endpoint, state: "draining" } : endpoint;
}

function networkOf(at: number): OverlayNetwork {
  const name = `net${at}`;
  const endpoints = Array.from({ length: ENDPOINTS_PER_NETWORK }, (_, index): OverlayEndpoint => {
    const taskID = `task-${at}-${index}`;
    const place = { taskID, taskName: taskID, aliases: [], addresses: [addressOf(at, index)] };
    return { ...place, nodeIndex: index === 0 ? 1 : 2 + (index % 2), state: "live" };
  });
  const service = { serviceID: name, serviceName: name, aliases: [], endpoints };
  return {
    ...{ networkID: name, name, vni: FIRST_VNI + at, internal: false, containers: [] },
    subnets: [`${prefixOf(at)}.0/24`],
    services: [{ ...service, virtualIPs: [`${prefixOf(at)}.2`] }],
  };
}

/** The first is of the container that is here. */
function addressOf(network: number, index: number): string {
  return `${prefixOf(network)}.${10 + index}`;
}

function prefixOf(network: number): string {
  return `10.${network >> 8}.${network & 0xff}`;
}
