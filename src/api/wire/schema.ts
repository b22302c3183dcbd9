/**
 * The declarative tie between Docker's JSON and the cluster's objects: one codec per type says names, types,
 * defaults and what is left out when empty, for both directions. Decoding is as lenient and as strict as Go's:
 * names in any case, unknown names ignored, null as if absent, wrong types refused in Go's words.
 */
import { InvalidParameterError, NotImplementedError } from "../../base/errors.ts";
import { parseJson } from "./json.ts";

/** Where in a message a value stands, in Go's terms: the innermost struct, and the path of fields from the root. */
export interface At {
  readonly struct: string;
  readonly path: readonly string[];
}

export interface Codec<T> {
  /** Go's name for the type, as its errors print it. */
  readonly goType: string;
  decode(value: unknown, at: At): T;
  encode(value: T): unknown;
}

/** One field of a struct: how it is read where it may be absent, and what is written of it, `undefined` for nothing. */
export interface Field<T> {
  readonly wire: string;
  read(value: unknown, at: At): T | undefined;
  write(value: T | undefined): unknown;
}

type FieldsOf<T> = { readonly [K in keyof T]-?: Field<NonNullable<T[K]>> };

const ROOT: At = { struct: "", path: [] };

/** Reads a whole body. */
export function decodeText<T>(codec: Codec<T>, text: string): T {
  return codec.decode(parseJson(text), ROOT);
}

/** Reads a value that is JSON already. */
export function decodeValue<T>(codec: Codec<T>, value: unknown): T {
  return codec.decode(value, ROOT);
}

// ---- Scalars ---------------------------------------------------------------------------------

export const text: Codec<string> = textOf("string");

/** A string whose Go type has a name of its own. */
export function textOf(goType: string): Codec<string> {
  return scalar(goType, "", (value) => typeof value === "string");
}

export const flag: Codec<boolean> = scalar("bool", false, (value) => typeof value === "boolean");
export const float32: Codec<number> = scalar("float32", 0, (value) => typeof value === "number");
export const uint32 = integer("uint32", 0, 2 ** 32 - 1);
export const uint64 = integer("uint64", 0, Number.MAX_SAFE_INTEGER);
export const int64 = integer("int64", Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
export const int = integer("int", Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
/** Nanoseconds. */
export const duration = integer("time.Duration", Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);

/** One of a few words; `refusal` words what Docker says of any other. An empty word is the first one. */
export function oneOf<const Word extends string>(
  goType: string,
  words: readonly [Word, ...Word[]],
  refusal: (word: string) => string,
): Codec<Word> {
  const string = textOf(goType);
  return {
    goType,
    encode: (word) => word,
    decode(value, at) {
      const word = string.decode(value, at);
      if (word === "") return words[0];
      const known = words.find((candidate) => candidate === word.toLowerCase());
      if (known === undefined) throw new InvalidParameterError(refusal(word));
      return known;
    },
  };
}

// ---- Composites ------------------------------------------------------------------------------

export function list<T>(item: Codec<T>): Codec<readonly T[]> {
  const goType = `[]${item.goType}`;
  return {
    goType,
    encode: (values) => values.map((value) => item.encode(value)),
    decode(value, at) {
      if (value === null || value === undefined) return [];
      if (!Array.isArray(value)) throw mismatch(value, goType, at);
      return value.map((entry: unknown) => item.decode(entry, at));
    },
  };
}

/** Keys are the user's own: they are never renamed. */
export function dictionary<T>(item: Codec<T>): Codec<Readonly<Record<string, T>>> {
  const goType = `map[string]${item.goType}`;
  return {
    goType,
    encode: (values) => mapValues(values, (value) => item.encode(value)),
    decode(value, at) {
      if (value === null || value === undefined) return {};
      if (!isRecord(value)) throw mismatch(value, goType, at);
      return mapValues(value, (entry) => item.decode(entry, at));
    },
  };
}

export const labels: Codec<Readonly<Record<string, string>>> = dictionary(text);

export interface StructInit {
  /** Fields that Docker has and Weft has no use for yet: refused when they say something, so that nothing is dropped in silence. */
  readonly refused?: Readonly<Record<string, string>>;
}

/** An object with known fields, in the order in which they are written. */
export function struct<T extends object>(
  goType: string,
  fields: FieldsOf<T>,
  init: StructInit = {},
): Codec<T> {
  const entries = Object.entries(fields) as [string, Field<unknown>][];
  const name = goType.slice(goType.lastIndexOf(".") + 1);
  const refused = Object.entries(init.refused ?? {});
  return {
    goType,
    encode(value) {
      const source = value as Readonly<Record<string, unknown>>;
      // A plain loop: lists of ten thousand tasks go through here.
      const wire: Record<string, unknown> = {};
      for (const [key, field] of entries) {
        const written = field.write(source[key]);
        if (written !== undefined) wire[field.wire] = written;
      }
      return wire;
    },
    decode(value, at) {
      if (value !== null && value !== undefined && !isRecord(value)) {
        throw mismatch(value, goType, at);
      }
      const given = byLowerCase(value ?? {});
      for (const [wire, why] of refused) {
        if (!saysNothing(given.get(wire.toLowerCase()))) throw new NotImplementedError(why);
      }
      const read = entries.map(([key, field]) => {
        const inner = { struct: name, path: [...at.path, field.wire] };
        return [key, field.read(given.get(field.wire.toLowerCase()), inner)] as const;
      });
      return Object.fromEntries(read.filter(([, entry]) => entry !== undefined)) as T;
    },
  };
}

// ---- Fields ----------------------------------------------------------------------------------

/** Always there; `fallback` where the sender says nothing. */
export function required<T>(wire: string, codec: Codec<T>, fallback: T): Field<T> {
  return {
    wire,
    read: (value, at) => (isAbsent(value) ? fallback : codec.decode(value, at)),
    write: (value) => codec.encode(value ?? fallback),
  };
}

/** Always there and never 0: a sender who says 0 says nothing. */
export function requiredNonZero(
  wire: string,
  codec: Codec<number>,
  fallback: number,
): Field<number> {
  const field = required(wire, codec, fallback);
  return { ...field, read: (value, at) => field.read(value, at) || fallback };
}

/** Always there inside; left out of the JSON when it is empty (Go's omitempty). */
export function omittedWhenEmpty<T>(wire: string, codec: Codec<T>, fallback: T): Field<T> {
  const field = required(wire, codec, fallback);
  return { ...field, write: (value) => nonEmpty(field.write(value)) };
}

/** There or not; an empty one is there (Go's pointers). */
export function optional<T>(wire: string, codec: Codec<T>): Field<T> {
  return {
    wire,
    read: (value, at) => (isAbsent(value) ? undefined : codec.decode(value, at)),
    write: (value) => (value === undefined ? undefined : codec.encode(value)),
  };
}

/** There or not, and an empty one is not. */
export function unlessEmpty<T>(wire: string, codec: Codec<T>): Field<T> {
  const field = optional(wire, codec);
  return {
    wire,
    read: (value, at) => nonEmpty(field.read(value, at)),
    write: (value) => nonEmpty(field.write(value)),
  };
}

/** Absent inside where it has its default, which the JSON always spells out. */
export function defaulted<T extends string | number | boolean>(
  wire: string,
  codec: Codec<T>,
  standard: T,
): Field<T> {
  const field = required(wire, codec, standard);
  return {
    ...field,
    read(value, at) {
      const read = field.read(value, at);
      return read === standard ? undefined : read;
    },
  };
}

// ---- Helpers ---------------------------------------------------------------------------------

function scalar<T>(goType: string, zero: T, accepts: (value: unknown) => boolean): Codec<T> {
  return {
    goType,
    encode: (value) => value,
    decode(value, at) {
      if (value === null || value === undefined) return zero;
      if (!accepts(value)) throw mismatch(value, goType, at);
      return value as T;
    },
  };
}

function integer(goType: string, min: number, max: number): Codec<number> {
  const number = scalar(goType, 0, (value) => typeof value === "number");
  return {
    ...number,
    decode(value, at) {
      const decoded = number.decode(value, at);
      if (Number.isInteger(decoded) && decoded >= min && decoded <= max) return decoded;
      throw refusal(`number ${decoded}`, goType, at);
    },
  };
}

function mismatch(value: unknown, goType: string, at: At): InvalidParameterError {
  const kind = Array.isArray(value) ? "array" : typeof value;
  return refusal(kind === "boolean" ? "bool" : kind, goType, at);
}

function refusal(what: string, goType: string, at: At): InvalidParameterError {
  const where =
    at.path.length === 0 ? "Go value" : `Go struct field ${at.struct}.${at.path.join(".")}`;
  return new InvalidParameterError(
    `json: cannot unmarshal ${what} into ${where} of type ${goType}`,
  );
}

function byLowerCase(value: object): ReadonlyMap<string, unknown> {
  return new Map(Object.entries(value).map(([key, entry]) => [key.toLowerCase(), entry]));
}

function mapValues<A, B>(
  values: Readonly<Record<string, A>>,
  convert: (value: A) => B,
): Readonly<Record<string, B>> {
  // fromEntries defines what it makes, so that a user's key "__proto__" is a key like any other.
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, convert(value)]));
}

function isAbsent(value: unknown): boolean {
  return value === undefined || value === null;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Clients send whole structs of nothing but nulls; what is nested deeper than this does say something. */
const MAX_NOTHING_DEPTH = 8;

function saysNothing(value: unknown, depth = 0): boolean {
  if (!isRecord(value) || depth === MAX_NOTHING_DEPTH) return isEmpty(value);
  return Object.values(value).every((entry) => saysNothing(entry, depth + 1));
}

/** Go's zero of a scalar, a list or a map; a struct that says nothing counts as one here. */
function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null) return true;
  if (Array.isArray(value)) return value.length === 0;
  if (typeof value === "object") return Object.keys(value).length === 0;
  return value === "" || value === 0 || value === false;
}

function nonEmpty<T>(value: T): T | undefined {
  return isEmpty(value) ? undefined : value;
}
