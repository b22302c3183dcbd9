/** A mesh of many services, as a manager would tell it to node 1. All endpoints but the last service's are elsewhere. */
import {
  type MeshEndpoint,
  type MeshNode,
  type MeshService,
  type MeshView,
  portKey,
} from "../../src/datapath/view.ts";

export const ENDPOINTS_PER_SERVICE = 10;
/** The host's end of the last service's tasks. */
export const TASK_LINK = "wvbench";
export const TARGET_PORT = 80;
const FIRST_PORT = 20_000;
const NODES = 3;
/** 10.128.0.0/9 has room for a hundred thousand endpoints and more. */
const SUBNET = "10.128.0.0/9";
const FIRST_ENDPOINT = ipv4Number("10.128.1.0");
const FIRST_NODE = ipv4Number("10.128.0.1");

export interface ScaleInit {
  readonly services: number;
  /** Node 1's address on the LAN. */
  readonly underlayAddress: string;
}

export function publishedPortOf(service: number): number {
  return FIRST_PORT + service;
}

/** The addresses of the last service's tasks, which are on node 1. */
export function localAddresses({ services }: Pick<ScaleInit, "services">): string[] {
  return endpointsOf(services - 1, services).map(({ address }) => address);
}

export function scaleView({ services: count, underlayAddress }: ScaleInit): MeshView {
  const services = Array.from({ length: count }, (_, index) => serviceOf(index, count));
  return {
    revision: 1,
    self: nodeOf(1, underlayAddress),
    peers: [2, 3].map((index) => nodeOf(index, `192.168.98.${index}`)),
    subnet: SUBNET,
    vni: 4096,
    dataPathPort: 4789,
    services,
    networks: [],
    hostPorts: [],
    overlayLinks: [],
    localLinks: localAddresses({ services: count }).map((address) => ({
      address,
      link: TASK_LINK,
    })),
    heldPorts: new Set(services.map((_, index) => portKey("tcp", publishedPortOf(index)))),
  };
}

/** The same mesh after one endpoint of one service became draining; all else is the very same object. */
export function withDraining(view: MeshView, service: number, revision: number): MeshView {
  const services = view.services.map((one, index) =>
    index === service ? { ...one, endpoints: one.endpoints.map(drainFirst) } : one,
  );
  return { ...view, revision, services };
}

function drainFirst(endpoint: MeshEndpoint, index: number): MeshEndpoint {
  return index === 0 ? { ...endpoint, state: "draining" } : endpoint;
}

function serviceOf(index: number, count: number): MeshService {
  return {
    serviceID: `service-${index}`,
    serviceName: `service-${index}`,
    ports: [{ protocol: "tcp", publishedPort: publishedPortOf(index), targetPort: TARGET_PORT }],
    endpoints: endpointsOf(index, count),
  };
}

function endpointsOf(service: number, count: number): MeshEndpoint[] {
  return Array.from({ length: ENDPOINTS_PER_SERVICE }, (_, index) => {
    const number = service * ENDPOINTS_PER_SERVICE + index;
    const nodeIndex = service === count - 1 ? 1 : 2 + (number % (NODES - 1));
    const address = ipv4Text(FIRST_ENDPOINT + number);
    return { taskID: `task-${number}`, address, nodeIndex, state: "live" };
  });
}

function nodeOf(index: number, underlayAddress: string): MeshNode {
  return {
    nodeID: `node-${index}`,
    index,
    underlayAddress,
    overlayAddress: ipv4Text(FIRST_NODE + index),
    addresses: [underlayAddress],
  };
}

function ipv4Number(text: string): number {
  return text.split(".").reduce((number, byte) => number * 256 + Number(byte), 0);
}

function ipv4Text(number: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join(".");
}
