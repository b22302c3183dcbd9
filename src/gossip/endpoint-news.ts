/**
 * What every node says about its own endpoints: which of them are given nothing new, and which are gone; the
 * others are as managers have told. Each node's word has a version and is whole, so the newest wins, and
 * order, loss and repetition don't matter. It can hide endpoints that a manager has made and never make one.
 */
import { createHash } from "node:crypto";
import { Fields, NAME_BYTES_MAX } from "./messages.ts";
import { DecodeError, PackedReader, packFields } from "./msgpack.ts";

/** One node's word about its own endpoints. */
export interface EndpointNews {
  readonly node: string;
  /** Higher after each start of the node's daemon; its clock's milliseconds, unless that went back. */
  readonly epoch: number;
  readonly version: number;
  /** Tasks of this node that are no endpoints any more, whatever managers have said. */
  readonly gone: readonly string[];
  /** Tasks that go on with the connections that they have. */
  readonly draining: readonly string[];
}

export type NewsTable = ReadonlyMap<string, EndpointNews>;

/** What a node says of more than these, of each kind, is left to its manager. */
export const TASKS_MAX = 256;
/** A piece of news that is longer does not fit into a packet: digests differ, and an exchange brings it. */
export const NEWS_BYTES_MAX = 1_200;
/** Nodes that are remembered; at the bound a new one's word is dropped, and its manager's counts. */
const NEWS_NODES_MAX = 10_000;
/** Of a digest of the table: two that differ are the same by chance once in 2⁶⁴. */
export const TABLE_HASH_BYTES = 8;

/** The table with this word in it; the same table when it says nothing newer. */
export function mergeNews(table: NewsTable, news: EndpointNews): NewsTable {
  const known = table.get(news.node);
  if (known === undefined ? table.size >= NEWS_NODES_MAX : !isNewer(news, known)) return table;
  return new Map(table).set(news.node, news);
}

/** Whether `news` is a later word of the same node. Of two words of one version the one with the greater lists counts, everywhere. */
export function isNewer(news: EndpointNews, than: EndpointNews): boolean {
  if (news.epoch !== than.epoch) return news.epoch > than.epoch;
  if (news.version !== than.version) return news.version > than.version;
  return listsOf(news) > listsOf(than);
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

export function encodeNews({ node, epoch, version, gone, draining }: EndpointNews): Buffer {
  return packFields({
    Draining: packTasks(draining),
    Epoch: epoch,
    Gone: packTasks(gone),
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
      gone: tasksOf(fields, "Gone"),
      draining: tasksOf(fields, "Draining"),
    });
  }
  return all;
}

function listsOf({ gone, draining }: EndpointNews): string {
  return `${gone.join()} ${draining.join()}`;
}

function packTasks(taskIDs: readonly string[]): Buffer[] {
  return taskIDs.slice(0, TASKS_MAX).map((taskID) => Buffer.from(taskID));
}

function tasksOf(fields: Fields, name: string): string[] {
  return fields.list(name, TASKS_MAX).map((each) => {
    if (!(each instanceof Uint8Array) || each.length > NAME_BYTES_MAX) {
      throw new DecodeError(`${name} holds what is no task's ID`);
    }
    return Buffer.from(each).toString("utf8");
  });
}
