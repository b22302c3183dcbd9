/**
 * The error classes that cross room borders, named as in Docker's errdefs. `code` is stable and
 * is what the API's status and the dispatcher's gRPC status are mapped from; the message is what
 * the user reads, so it says the cause and, where there is one, the cure.
 */
export type ErrorCode =
  | "not_found"
  | "invalid_parameter"
  | "conflict"
  | "unauthorized"
  | "forbidden"
  | "unavailable"
  | "not_implemented"
  | "system";

export class WeftError extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

export class NotFoundError extends WeftError {
  constructor(message: string, options?: ErrorOptions) {
    super("not_found", message, options);
  }
}
export class InvalidParameterError extends WeftError {
  constructor(message: string, options?: ErrorOptions) {
    super("invalid_parameter", message, options);
  }
}
export class ConflictError extends WeftError {
  constructor(message: string, options?: ErrorOptions) {
    super("conflict", message, options);
  }
}
export class UnauthorizedError extends WeftError {
  constructor(message: string, options?: ErrorOptions) {
    super("unauthorized", message, options);
  }
}
export class ForbiddenError extends WeftError {
  constructor(message: string, options?: ErrorOptions) {
    super("forbidden", message, options);
  }
}
export class UnavailableError extends WeftError {
  constructor(message: string, options?: ErrorOptions) {
    super("unavailable", message, options);
  }
}
export class NotImplementedError extends WeftError {
  constructor(message: string, options?: ErrorOptions) {
    super("not_implemented", message, options);
  }
}
export class SystemError extends WeftError {
  constructor(message: string, options?: ErrorOptions) {
    super("system", message, options);
  }
}

const CLASSES = {
  not_found: NotFoundError,
  invalid_parameter: InvalidParameterError,
  conflict: ConflictError,
  unauthorized: UnauthorizedError,
  forbidden: ForbiddenError,
  unavailable: UnavailableError,
  not_implemented: NotImplementedError,
  system: SystemError,
} as const satisfies Record<ErrorCode, new (message: string) => WeftError>;

/** An error that another process has told by its code; one of a code that is none of ours is a fault of its own. */
export function errorOfCode(code: string, message: string): WeftError {
  const isKnown = (text: string): text is ErrorCode => Object.hasOwn(CLASSES, text);
  return new CLASSES[isKnown(code) ? code : "system"](message);
}

/** Whether trying the same thing again later can succeed. The only question retries ask. */
export function isTemporary(error: unknown): boolean {
  return error instanceof UnavailableError;
}

/** The text of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
