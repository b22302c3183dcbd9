/** Turns the `unknown` of a parsed JSON body into what the keeper believes; each refusal names the field. */
import { isIPv4, isIPv6 } from "node:net";
import { InvalidParameterError, messageOf } from "../base/errors.ts";

export type JSONObject = Readonly<Record<string, unknown>>;

/** Bodies are small; a longer one is refused before it is kept. */
export const BODY_BYTES_MAX = 4 * 1024 * 1024;

/** A JSON object from text; an empty text is an empty object, as Docker's plugin client sends for calls without arguments. */
export function parseObject(text: string, what: string): JSONObject {
  if (text.trim() === "") return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new InvalidParameterError(`${what} is not JSON: ${messageOf(cause)}`, { cause });
  }
  return objectOf(value, what);
}

export function objectOf(value: unknown, what: string): JSONObject {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new InvalidParameterError(`${what} is not an object`);
  }
  return value as JSONObject;
}

/** An absent or null list is an empty one: Go writes a nil slice as null. */
export function listOf(value: unknown, what: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new InvalidParameterError(`${what} is not a list`);
  return value;
}

export function textsOf(value: unknown, what: string): readonly string[] {
  return listOf(value, what).map((text) => {
    if (typeof text === "string") return text;
    throw new InvalidParameterError(`${what} is not a list of texts`);
  });
}

export function stringField(object: JSONObject, name: string): string {
  const value = object[name];
  if (typeof value !== "string" || value === "") {
    throw new InvalidParameterError(`${name} is missing or not a text`);
  }
  return value;
}

/** Absent, null and empty are one: Go sends the zero value for what was not given. */
export function optionalString(object: JSONObject, name: string): string | undefined {
  const value = object[name];
  if (value === undefined || value === null || value === "") return undefined;
  if (typeof value !== "string") throw new InvalidParameterError(`${name} is not a text`);
  return value;
}

export function optionalObject(object: JSONObject, name: string): JSONObject {
  const value = object[name];
  return value === undefined || value === null ? {} : objectOf(value, name);
}

export function integerIn(value: unknown, what: string, least: number, most: number): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < least || value > most) {
    throw new InvalidParameterError(`${what} is not a whole number from ${least} to ${most}`);
  }
  return value;
}

/** The address of "fd00::5" or "fd00::5/64". */
export function addressIPv6Of(text: string): string {
  const [address = ""] = text.split("/", 1);
  if (!isIPv6(address)) throw new InvalidParameterError(`${text} is not an IPv6 address`);
  return address;
}

/** The address of "10.0.0.5" or "10.0.0.5/32". */
export function addressOf(text: string): string {
  const [address = ""] = text.split("/", 1);
  if (!isIPv4(address)) throw new InvalidParameterError(`${text} is not an IPv4 address`);
  return address;
}
