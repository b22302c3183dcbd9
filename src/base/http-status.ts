/** Errors as statuses of HTTP, and back: the Engine API's, the keeper's and the Docker Engine's own. */
import { type ErrorCode, errorOfCode, WeftError } from "./errors.ts";

const STATUSES: Readonly<Record<ErrorCode, number>> = {
  not_found: 404,
  invalid_parameter: 400,
  conflict: 409,
  unauthorized: 401,
  forbidden: 403,
  unavailable: 503,
  not_implemented: 501,
  system: 500,
};
const CODES = new Map(Object.entries(STATUSES).map(([code, status]) => [status, code]));

/** The status that a thrown error is answered with; what is not ours is the server's fault. */
export function statusOf(error: unknown): number {
  return error instanceof WeftError ? STATUSES[error.code] : STATUSES.system;
}

/** A refusal as the error of its status; every other status is a fault of the server's. */
export function errorOfStatus(status: number, message: string): WeftError {
  return errorOfCode(CODES.get(status) ?? "system", message);
}
