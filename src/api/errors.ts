/**
 * From error to answer: the class of an error is its HTTP status, its message the body's `message`.
 * Docker's managers speak gRPC inside, and their texts reach the user with that prefix; clients match on it.
 */
import {
  ConflictError,
  type ErrorCode,
  InvalidParameterError,
  NotFoundError,
  NotImplementedError,
  SystemError,
  WeftError,
} from "../base/errors.ts";

const STATUS_BY_CODE: Readonly<Record<ErrorCode, number>> = {
  not_found: 404,
  invalid_parameter: 400,
  conflict: 409,
  unauthorized: 401,
  forbidden: 403,
  unavailable: 503,
  not_implemented: 501,
  system: 500,
};

/** The HTTP status that a thrown error is answered with; what is not ours is the server's fault. */
export function statusOf(error: unknown): number {
  return error instanceof WeftError ? STATUS_BY_CODE[error.code] : 500;
}

const CLASS_BY_RPC_CODE = {
  InvalidArgument: InvalidParameterError,
  NotFound: NotFoundError,
  AlreadyExists: ConflictError,
  /** As an Engine 20.10 answers it: 400. */
  FailedPrecondition: InvalidParameterError,
  Unimplemented: NotImplementedError,
  Unknown: SystemError,
} as const;

/** An error as Docker's manager words it: `rpc error: code = InvalidArgument desc = …`. */
export function rpcError(code: keyof typeof CLASS_BY_RPC_CODE, description: string): WeftError {
  return new CLASS_BY_RPC_CODE[code](`rpc error: code = ${code} desc = ${description}`);
}

/** The refusal of a writer who has not seen the newest version. */
export function outOfSequence(): WeftError {
  return rpcError("Unknown", "update out of sequence");
}
