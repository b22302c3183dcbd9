/**
 * What members say to each other, and how memberlist writes each of it: one byte of type, then a
 * map of fields. Everything from the network is checked here; behind this file types are believed.
 */
import { unreachable } from "../base/assert.ts";
import { addressBytes, addressOfBytes } from "../base/ip-address.ts";
import type { Address } from "./address.ts";
import { DecodeError, type Packed, PackedReader, packFields } from "./msgpack.ts";

/** The first byte of a message. */
export const MESSAGE_TYPE = {
  ping: 0,
  pingReq: 1,
  ack: 2,
  suspect: 3,
  alive: 4,
  dead: 5,
  pushPull: 6,
  compound: 7,
  user: 8,
  compress: 9,
  encrypt: 10,
  nack: 11,
  hasCrc: 12,
  error: 13,
} as const;

export const MEMBER_STATES = ["alive", "suspect", "dead", "left"] as const;
export type MemberState = (typeof MEMBER_STATES)[number];

/** A member as it describes itself. */
export interface Description {
  readonly node: string;
  readonly incarnation: number;
  readonly address: Address;
  readonly meta: Buffer;
  /** Protocol and delegate versions: least, most, current of each. */
  readonly versions: Buffer;
}

export interface Accusation {
  readonly node: string;
  readonly incarnation: number;
  readonly from: string;
}

export type Message =
  | { readonly kind: "ping"; readonly sequence: number; readonly node: string }
  | {
      readonly kind: "pingReq";
      readonly sequence: number;
      readonly node: string;
      readonly target: Address;
      /** Whether the asker wants to hear that the target did not answer. */
      readonly nack: boolean;
    }
  /** `payload` is the answering member's digest of what it knows; empty when it has none. */
  | { readonly kind: "ack"; readonly sequence: number; readonly payload?: Buffer }
  | { readonly kind: "nack"; readonly sequence: number }
  | ({ readonly kind: "suspect" } & Accusation)
  | ({ readonly kind: "alive" } & Description)
  /** Said by the node itself, it is its leave. */
  | ({ readonly kind: "dead" } & Accusation)
  | { readonly kind: "user"; readonly payload: Buffer }
  | { readonly kind: "error"; readonly text: string };

/** A member as one node believes it to be. */
export interface MemberView extends Description {
  readonly state: MemberState;
}

/** All that a node believes, exchanged both ways on one connection. */
export interface PushPull {
  readonly kind: "pushPull";
  readonly join: boolean;
  readonly members: readonly MemberView[];
  readonly user: Buffer;
}

/** Longer names are refused; a node's ID has 25 characters, a host's name at most 253. */
export const NAME_BYTES_MAX = 255;
/** memberlist's own bound on what a member may say about itself. */
export const META_BYTES_MAX = 512;
/** An acknowledgement that carries more is refused; serf's coordinates take some 100 bytes. */
const ACK_PAYLOAD_BYTES_MAX = 1_024;
/** What this program speaks, in memberlist's numbers. */
export const OUR_VERSIONS = Buffer.from([1, 5, 2, 2, 5, 5]);
/** From this protocol on a node reads packets with a checksum. */
export const CRC_PROTOCOL_MIN = 5;

export function encodeMessage(message: Message): Buffer {
  switch (message.kind) {
    case "ping":
      return typed("ping", { Node: message.node, SeqNo: message.sequence });
    case "pingReq":
      return typed("pingReq", {
        Nack: message.nack,
        Node: message.node,
        Port: message.target.port,
        SeqNo: message.sequence,
        Target: wireAddress(message.target),
      });
    case "ack":
      return typed("ack", { Payload: message.payload ?? null, SeqNo: message.sequence });
    case "nack":
      return typed("nack", { SeqNo: message.sequence });
    case "suspect":
    case "dead":
      return typed(message.kind, {
        From: message.from,
        Incarnation: message.incarnation,
        Node: message.node,
      });
    case "alive":
      return typed("alive", {
        Addr: wireAddress(message.address),
        Incarnation: message.incarnation,
        Meta: message.meta,
        Node: message.node,
        Port: message.address.port,
        Vsn: message.versions,
      });
    case "user":
      return Buffer.concat([Buffer.of(MESSAGE_TYPE.user), message.payload]);
    case "error":
      return typed("error", { Error: message.text });
    default:
      return unreachable(message);
  }
}

/** One message of a packet, its type's byte included. Throws DecodeError. */
export function decodeMessage(bytes: Buffer): Message {
  const [type] = bytes;
  if (type === MESSAGE_TYPE.user) return { kind: "user", payload: bytes.subarray(1) };
  return decodeFields(type, new PackedReader(bytes, 1));
}

/** The message of `type` whose fields come next; streams read on behind it. */
export function decodeFields(type: number | undefined, reader: PackedReader): Message {
  switch (type) {
    case MESSAGE_TYPE.ping: {
      const fields = Fields.read(reader);
      return { kind: "ping", sequence: fields.uint32("SeqNo"), node: fields.text("Node", "") };
    }
    case MESSAGE_TYPE.pingReq: {
      const fields = Fields.read(reader);
      return {
        kind: "pingReq",
        sequence: fields.uint32("SeqNo"),
        node: fields.text("Node", ""),
        target: fields.address("Target"),
        nack: fields.flag("Nack"),
      };
    }
    case MESSAGE_TYPE.ack: {
      const fields = Fields.read(reader);
      const payload = fields.bytes("Payload", ACK_PAYLOAD_BYTES_MAX);
      const sequence = fields.uint32("SeqNo");
      return payload.length === 0 ? { kind: "ack", sequence } : { kind: "ack", sequence, payload };
    }
    case MESSAGE_TYPE.nack:
      return { kind: "nack", sequence: Fields.read(reader).uint32("SeqNo") };
    case MESSAGE_TYPE.suspect:
      return { kind: "suspect", ...accusation(Fields.read(reader)) };
    case MESSAGE_TYPE.dead:
      return { kind: "dead", ...accusation(Fields.read(reader)) };
    case MESSAGE_TYPE.alive: {
      const fields = Fields.read(reader);
      return { kind: "alive", ...description(fields, fields.text("Node")) };
    }
    case MESSAGE_TYPE.error:
      return { kind: "error", text: Fields.read(reader).text("Error") };
    case undefined:
      throw new DecodeError("an empty message");
    default:
      throw new DecodeError(`no message has the type ${type}`);
  }
}

/** One member in a push/pull. */
export function encodeMemberView(member: MemberView): Buffer {
  return packFields({
    Addr: wireAddress(member.address),
    Incarnation: member.incarnation,
    Meta: member.meta,
    Name: member.node,
    Port: member.address.port,
    State: MEMBER_STATES.indexOf(member.state),
    Vsn: member.versions,
  });
}

export function decodeMemberView(reader: PackedReader): MemberView {
  const fields = Fields.read(reader);
  const state = MEMBER_STATES[fields.uint32("State")];
  if (state === undefined) throw new DecodeError("State is none that is known");
  return { ...description(fields, fields.text("Name")), state };
}

/** The decoded fields of one map, each taken by its name and kind. */
export class Fields {
  readonly #map: ReadonlyMap<string, Packed>;

  constructor(map: ReadonlyMap<string, Packed>) {
    this.#map = map;
  }

  static read(reader: PackedReader): Fields {
    const value = reader.value();
    if (!(value instanceof Map)) throw new DecodeError("the fields are no map");
    return new Fields(value);
  }

  uint32(name: string): number {
    const value = this.#map.get(name);
    if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > 0xffff_ffff) {
      throw new DecodeError(`${name} is no unsigned integer of 32 bits`);
    }
    return value;
  }

  bytes(name: string, lengthMax: number): Buffer {
    const value = this.#map.get(name) ?? new Uint8Array();
    if (!(value instanceof Uint8Array)) throw new DecodeError(`${name} is no string of bytes`);
    if (value.length > lengthMax) throw new DecodeError(`${name} has more than ${lengthMax} bytes`);
    // A copy: what is kept must not keep the whole packet.
    return Buffer.from(value);
  }

  text(name: string, absent?: string): string {
    const bytes = this.bytes(name, NAME_BYTES_MAX);
    if (bytes.length > 0) return bytes.toString("utf8");
    if (absent === undefined) throw new DecodeError(`${name} is missing`);
    return absent;
  }

  /** A whole number from 0 on, exact as a number. */
  count(name: string): number {
    const value = this.#map.get(name);
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
      throw new DecodeError(`${name} is no count`);
    }
    return value;
  }

  list(name: string, lengthMax: number): readonly Packed[] {
    const value = this.#map.get(name);
    if (!Array.isArray(value)) throw new DecodeError(`${name} is no list`);
    if (value.length > lengthMax) throw new DecodeError(`${name} has more than ${lengthMax} parts`);
    return value as readonly Packed[];
  }

  flag(name: string): boolean {
    return this.#map.get(name) === true;
  }

  address(name: string): Address {
    const host = addressOfBytes(this.bytes(name, 16));
    const port = this.uint32("Port");
    if (host === undefined || port > 65_535) throw new DecodeError(`${name} is no address`);
    return { host, port };
  }
}

function typed(kind: keyof typeof MESSAGE_TYPE, fields: Parameters<typeof packFields>[0]): Buffer {
  return Buffer.concat([Buffer.of(MESSAGE_TYPE[kind]), packFields(fields)]);
}

function accusation(fields: Fields): Accusation {
  return {
    node: fields.text("Node"),
    incarnation: fields.uint32("Incarnation"),
    from: fields.text("From", ""),
  };
}

function description(fields: Fields, node: string): Description {
  return {
    node,
    incarnation: fields.uint32("Incarnation"),
    address: fields.address("Addr"),
    meta: fields.bytes("Meta", META_BYTES_MAX),
    versions: fields.bytes("Vsn", OUR_VERSIONS.length),
  };
}

function wireAddress({ host }: Address): Buffer {
  return addressBytes(host) ?? Buffer.alloc(4);
}
