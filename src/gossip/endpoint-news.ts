/**
 * What every node says about its own endpoints: which are ready before a manager has said so, which are given
 * nothing new, and which are gone; all others are as managers have told. Each node's word has a version and is
 * whole, so the newest wins, and order, loss and repetition don't matter. It speaks of endpoints that a manager
 * has put on that node, and of no others.
 */
import { createHash } from "node:crypto";
import { addressBytes, addressOfBytes } from "../base/ip-address.ts";
import { Fields, NAME_BYTES_MAX } from "./messages.ts";
import { DecodeError, type Packed, PackedReader, packFields } from "./msgpack.ts";

/** In the order in which they are said where there is not room for all. */
export const ENDPOINT_WORDS = ["gone", "draining", "ready"] as const;
export type EndpointWord = (typeof ENDPOINT_WORDS)[number];

export const NEWS_PROTOCOLS = ["tcp", "udp"] as const;

/** One endpoint, as its own node has it. */
export interface SaidEndpoint {
  readonly taskID: string;
  /** Gone: none any more. Draining: goes on with the connections that it has. Ready: new ones are welcome. */
  readonly word: EndpointWord;
  /** Its addresses, each with the network's VXLAN identifier; none of one that is gone. */
  readonly places: readonly EndpointPlace[];
  /** Host-mode ports that it really has. */
  readonly ports: readonly EndpointPort[];
  /** Target ports that it serves over IPv6 too, as "tcp/80". */
  readonly ipv6Ports: readonly string[];
}

export interface EndpointPlace {
  readonly vni: number;
  readonly address: string;
}

export interface EndpointPort {
  readonly protocol: (typeof NEWS_PROTOCOLS)[number];
  readonly publishedPort: number;
  readonly targetPort: number;
}

/** One node's word about its own endpoints. */
export interface EndpointNews {
  readonly node: string;
  /** Higher after each start of the node's daemon; its clock's milliseconds, unless that went back. */
  readonly epoch: number;
  readonly version: number;
  readonly endpoints: readonly SaidEndpoint[];
}

export type NewsTable = ReadonlyMap<string, EndpointNews>;

/** What a node says of more than these is left to its manager. */
export const ENDPOINTS_MAX = 256;
/** Of one endpoint; what is beyond is left to its manager. */
const PLACES_MAX = 16;
const PORTS_MAX = 32;
/** A piece of news that is longer does not fit into a packet: digests differ, and an exchange brings it. */
export const NEWS_BYTES_MAX = 1_200;
/** Nodes that are remembered; at the bound a new one's word is dropped, and its manager's counts. */
const NEWS_NODES_MAX = 10_000;
/** Of a digest of the table: two that differ are the same by chance once in 2⁶⁴. */
export const TABLE_HASH_BYTES = 8;
const VNI_MAX = 2 ** 24 - 1;
const PORT_MAX = 65_535;

/** The table with this word in it; the same table when it says nothing newer. */
export function mergeNews(table: NewsTable, news: EndpointNews): NewsTable {
  const known = table.get(news.node);
  if (known === undefined ? table.size >= NEWS_NODES_MAX : !isNewer(news, known)) return table;
  return new Map(table).set(news.node, news);
}

/** Whether `news` is a later word of the same node. Of two words of one version the one with the greater bytes counts, everywhere. */
export function isNewer(news: EndpointNews, than: EndpointNews): boolean {
  if (news.epoch !== than.epoch) return news.epoch > than.epoch;
  if (news.version !== than.version) return news.version > than.version;
  return Buffer.compare(encodeNews(news), encodeNews(than)) > 0;
}

/** What of these a node says, in the one order in which it says it: the same facts are the same word. */
export function boundedEndpoints(endpoints: readonly SaidEndpoint[]): readonly SaidEndpoint[] {
  const rank = ({ word }: SaidEndpoint) => ENDPOINT_WORDS.indexOf(word);
  return endpoints
    .toSorted((a, b) => rank(a) - rank(b) || (a.taskID < b.taskID ? -1 : 1))
    .slice(0, ENDPOINTS_MAX)
    .map((endpoint) => ({
      ...endpoint,
      places: endpoint.places.slice(0, PLACES_MAX),
      ports: endpoint.ports.slice(0, PORTS_MAX),
      ipv6Ports: endpoint.ipv6Ports.slice(0, PORTS_MAX),
    }));
}

/** Equal on nodes whose tables say the same, in whatever order they came to it. */
export function hashOfNews(all: Iterable<EndpointNews>): Buffer {
  const sum = Buffer.alloc(TABLE_HASH_BYTES);
  for (const news of all) {
    const hash = createHash("sha256").update(encodeNews(news)).digest();
    for (let at = 0; at < sum.length; at++) sum[at] = (sum[at] ?? 0) ^ (hash[at] ?? 0);
  }
  return sum;
}

export function encodeNews({ node, epoch, version, endpoints }: EndpointNews): Buffer {
  return packFields({
    Endpoints: endpoints.map(packEndpoint),
    Epoch: epoch,
    Node: node,
    Version: version,
  });
}

/** All words in a row. Throws DecodeError. */
export function decodeNews(bytes: Buffer): EndpointNews[] {
  const reader = new PackedReader(bytes);
  const all: EndpointNews[] = [];
  while (reader.left > 0) {
    if (all.length >= NEWS_NODES_MAX) throw new DecodeError("news of too many nodes");
    const fields = Fields.read(reader);
    all.push({
      node: fields.text("Node"),
      epoch: fields.count("Epoch"),
      version: fields.count("Version"),
      endpoints: fields.list("Endpoints", ENDPOINTS_MAX).map(endpointOf),
    });
  }
  return all;
}

function packEndpoint({ taskID, word, places, ports, ipv6Ports }: SaidEndpoint): Packed {
  return [
    Buffer.from(taskID),
    ENDPOINT_WORDS.indexOf(word),
    places.map(({ vni, address }) => [vni, addressBytes(address) ?? Buffer.alloc(0)]),
    ports.map((port) => [
      NEWS_PROTOCOLS.indexOf(port.protocol),
      port.publishedPort,
      port.targetPort,
    ]),
    ipv6Ports.map((key) => Buffer.from(key)),
  ];
}

function endpointOf(packed: Packed): SaidEndpoint {
  const [id, word, places, ports, ipv6Ports] = listOf(packed, 5);
  if (!(id instanceof Uint8Array) || id.length > NAME_BYTES_MAX) {
    throw new DecodeError("an endpoint without a task's ID");
  }
  return {
    taskID: Buffer.from(id).toString("utf8"),
    word: oneOf(ENDPOINT_WORDS, word),
    places: listOf(places, PLACES_MAX).map(placeOf),
    ports: listOf(ports, PORTS_MAX).map(portOf),
    ipv6Ports: listOf(ipv6Ports, PORTS_MAX).map(portKeyOf),
  };
}

function placeOf(packed: Packed): EndpointPlace {
  const [vni, bytes] = listOf(packed, 2);
  const address = bytes instanceof Uint8Array ? addressOfBytes(bytes) : undefined;
  if (address === undefined) throw new DecodeError("an endpoint's address is none");
  return { vni: numberOf(vni, VNI_MAX), address };
}

function portOf(packed: Packed): EndpointPort {
  const [protocol, publishedPort, targetPort] = listOf(packed, 3);
  return {
    protocol: oneOf(NEWS_PROTOCOLS, protocol),
    publishedPort: numberOf(publishedPort, PORT_MAX),
    targetPort: numberOf(targetPort, PORT_MAX),
  };
}

function portKeyOf(packed: Packed): string {
  const key = packed instanceof Uint8Array ? Buffer.from(packed).toString("latin1") : "";
  const [, port = ""] = /^(?:tcp|udp)\/(\d{1,5})$/.exec(key) ?? [];
  if (port === "" || Number(port) > PORT_MAX)
    throw new DecodeError("a port of an endpoint is none");
  return key;
}

function listOf(packed: Packed | undefined, lengthMax: number): readonly Packed[] {
  if (Array.isArray(packed) && packed.length <= lengthMax) return packed as readonly Packed[];
  throw new DecodeError("a part of an endpoint is no list, or too long");
}

function oneOf<T>(all: readonly T[], index: Packed | undefined): T {
  const found = typeof index === "number" ? all[index] : undefined;
  if (found === undefined) throw new DecodeError("an endpoint says what nobody knows");
  return found;
}

function numberOf(packed: Packed | undefined, max: number): number {
  const isNumber = typeof packed === "number" && Number.isInteger(packed);
  if (isNumber && packed >= 0 && packed <= max) return packed;
  throw new DecodeError("a number of an endpoint is none");
}
