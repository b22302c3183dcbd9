/** Reads JSON that another host has sent: whatever is not as it should be is refused, in one class of error. */
import { InvalidParameterError } from "../base/errors.ts";

export function parseRecord(bytes: Uint8Array): Record<string, unknown> {
  return recordOf(JSON.parse(Buffer.from(bytes).toString("utf8")));
}

export function recordOf(value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong(value);
  return value as Record<string, unknown>;
}

export function listOf(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw wrong(value);
  return value;
}

export function numberOf(value: unknown): number {
  if (typeof value !== "number") throw wrong(value);
  return value;
}

export function textOf(value: unknown): string {
  if (typeof value !== "string") throw wrong(value);
  return value;
}

export function flagOf(value: unknown): boolean {
  if (typeof value !== "boolean") throw wrong(value);
  return value;
}

export function protocolOf(value: unknown): "tcp" | "udp" {
  if (value !== "tcp" && value !== "udp") throw wrong(value);
  return value;
}

export function wrong(value: unknown): InvalidParameterError {
  return new InvalidParameterError(`not as expected: ${JSON.stringify(value)?.slice(0, 100)}`);
}
