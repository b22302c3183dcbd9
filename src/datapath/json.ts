/** Reads what kernel tools print as JSON. Unknown keys are left alone: the tools' next versions may add some. */
import { SystemError } from "../base/errors.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value itself when it is an array of objects; anything else is a tool that does not speak as expected. */
export function objectsOf(value: unknown, what: string): JsonObject[] {
  if (Array.isArray(value) && value.every(isObject)) return value;
  throw new SystemError(`cannot read ${what}: expected a list, got ${JSON.stringify(value)}`);
}

export function stringOf(object: JsonObject, key: string): string | undefined {
  const value = object[key];
  return typeof value === "string" ? value : undefined;
}

export function numberOf(object: JsonObject, key: string): number | undefined {
  const value = object[key];
  return typeof value === "number" ? value : undefined;
}

export function objectOf(object: JsonObject, key: string): JsonObject | undefined {
  const value = object[key];
  return isObject(value) ? value : undefined;
}
