/** The `filters` parameter of lists: `{"name":["web"]}`, or as old clients have it `{"name":{"web":true}}`. */
import { InvalidParameterError } from "../base/errors.ts";
import type { Labels } from "../cluster/objects.ts";
import { parseJson } from "./wire/json.ts";

export class Filters {
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(values: ReadonlyMap<string, readonly string[]> = new Map()) {
    this.#values = values;
  }

  /** What a list was asked for by that name; empty when it was not. */
  get(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  /** Whether one of the values satisfies, or none was given. */
  some(name: string, satisfies: (value: string) => boolean): boolean {
    const values = this.get(name);
    return values.length === 0 || values.some(satisfies);
  }

  /** Whether one of the candidates begins with one of the values, or none was given. */
  prefix(name: string, candidates: readonly string[]): boolean {
    return this.some(name, (value) => candidates.some((candidate) => candidate.startsWith(value)));
  }

  /** Whether the labels have all that was asked for, as `key` or `key=value`. */
  labels(name: string, labels: Labels): boolean {
    return this.get(name).every((wanted) => {
      const [key = "", ...value] = wanted.split("=");
      const actual = Object.hasOwn(labels, key) ? labels[key] : undefined;
      return actual !== undefined && (value.length === 0 || actual === value.join("="));
    });
  }
}

/** Reads the parameter; a filter that this list does not have is refused. */
export function parseFilters(query: URLSearchParams, known: readonly string[]): Filters {
  const filters = readFilters(query);
  for (const name of filters.keys()) {
    if (!known.includes(name)) throw new InvalidParameterError(`Invalid filter '${name}'`);
  }
  return new Filters(filters);
}

/** Reads the parameter without judging its names. */
export function readFilters(query: URLSearchParams): ReadonlyMap<string, readonly string[]> {
  const text = query.get("filters") ?? "";
  if (text === "") return new Map();
  const value = parseJson(text);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new InvalidParameterError("invalid filter: expected an object of lists");
  }
  return new Map(Object.entries(value).map(([name, values]) => [name, valuesOf(values)]));
}

function valuesOf(values: unknown): readonly string[] {
  if (Array.isArray(values) && values.every((value) => typeof value === "string")) return values;
  if (typeof values === "object" && values !== null && !Array.isArray(values)) {
    return Object.entries(values)
      .filter(([, wanted]) => wanted === true)
      .map(([value]) => value);
  }
  throw new InvalidParameterError("invalid filter: expected a list of strings");
}
