/**
 * What Docker's users read of an error; its class is the HTTP status (base/http-status.ts), its message the body's `message`.
 * Docker's managers speak gRPC inside, and their texts reach the user with that prefix; clients match on it.
 */
import {
  ConflictError,
  InvalidParameterError,
  NotFoundError,
  NotImplementedError,
  SystemError,
  type WeftError,
} from "../base/errors.ts";

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
