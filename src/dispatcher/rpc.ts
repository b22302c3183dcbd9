/**
 * The thin seam between protobuf-es' descriptors and grpc-js: service definitions for the server, a typed
 * client for the nodes, and one translation of errors each way. No other file knows how the two fit.
 */
import type { DescMessage, DescMethod, DescService, MessageShape } from "@bufbuild/protobuf";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  ChannelCredentials,
  type ChannelOptions,
  Client,
  type ClientDuplexStream,
  type ClientWritableStream,
  Metadata,
  type MethodDefinition,
  type ServiceDefinition,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import {
  ConflictError,
  ForbiddenError,
  InvalidParameterError,
  messageOf,
  NotFoundError,
  NotImplementedError,
  SystemError,
  UnauthorizedError,
  UnavailableError,
  WeftError,
} from "../base/errors.ts";

/** Frames are cut by item counts far below this; a larger message is a broken or hostile peer's and ends the call. */
export const MESSAGE_BYTES_MAX = 16 * 1024 * 1024;

type Input<M extends DescMethod> = MessageShape<M["input"]>;
type Output<M extends DescMethod> = MessageShape<M["output"]>;

export function serviceDefinition(service: DescService): ServiceDefinition {
  return Object.fromEntries(
    service.methods.map((method) => [method.localName, methodDefinition(method)]),
  );
}

export interface RpcClientInit {
  /** As "192.168.99.100:2377". */
  readonly addr: string;
  readonly credentials: ChannelCredentials;
  /** The name that the server's certificate must carry. */
  readonly serverName: string;
}

/** One connection to one manager. It never reconnects by itself: whoever owns it decides when and where. */
export class RpcClient {
  readonly #addr: string;
  readonly #client: Client;

  constructor(init: RpcClientInit) {
    const options: ChannelOptions = {
      "grpc.ssl_target_name_override": init.serverName,
      "grpc.default_authority": init.serverName,
      "grpc.max_receive_message_length": MESSAGE_BYTES_MAX,
      // Shared subchannels would outlive a renewed certificate, and carry one caller's backoff to the next.
      "grpc.use_local_subchannel_pool": 1,
      "grpc.enable_retries": 0,
      "grpc.service_config_disable_resolution": 1,
      "grpc.enable_http_proxy": 0,
    };
    this.#addr = init.addr;
    this.#client = new Client(init.addr, init.credentials, options);
  }

  unary<M extends DescMethod>(
    method: M,
    request: Input<M>,
    init: { readonly deadlineMs: number; readonly signal?: AbortSignal | undefined },
  ): Promise<Output<M>> {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
    return new Promise((resolve, reject) => {
      const deadline = Date.now() + init.deadlineMs;
      const call = this.#client.makeUnaryRequest<Input<M>, Output<M>>(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        new Metadata(),
        { deadline },
        (error, response) => {
          init.signal?.removeEventListener("abort", cancel);
          if (error !== null) reject(this.error(error));
          else if (response !== undefined) resolve(response);
        },
      );
      const cancel = () => call.cancel();
      init.signal?.addEventListener("abort", cancel, { once: true });
    });
  }

  duplex<M extends DescMethod>(method: M): ClientDuplexStream<Input<M>, Output<M>> {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
    return this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
  }

  writable<M extends DescMethod>(
    method: M,
    onEnd: (error: Error | undefined) => void,
  ): ClientWritableStream<Input<M>> {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
    return this.#client.makeClientStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      new Metadata(),
      (error: ServiceError | null) => onEnd(error === null ? undefined : this.error(error)),
    );
  }

  /** A call's failure as one of our errors, in Docker's words. */
  error(error: unknown): WeftError {
    return fromGrpcError(error, this.#addr);
  }

  close(): void {
    this.#client.close();
  }
}

/** What a server answers with. Docker's texts travel as the details. */
export function toGrpcError(error: unknown): Partial<ServiceError> & { code: status } {
  const code = error instanceof WeftError ? STATUS_OF_CODE[error.code] : status.INTERNAL;
  return { code, details: messageOf(error) };
}

const STATUS_OF_CODE: Record<WeftError["code"], status> = {
  not_found: status.NOT_FOUND,
  invalid_parameter: status.INVALID_ARGUMENT,
  conflict: status.FAILED_PRECONDITION,
  unauthorized: status.UNAUTHENTICATED,
  forbidden: status.PERMISSION_DENIED,
  unavailable: status.UNAVAILABLE,
  not_implemented: status.UNIMPLEMENTED,
  system: status.INTERNAL,
};

/** As Go prints them, since that is what Docker's users read. */
const GO_NAMES: Readonly<Record<number, string>> = {
  [status.CANCELLED]: "Canceled",
  [status.INVALID_ARGUMENT]: "InvalidArgument",
  [status.DEADLINE_EXCEEDED]: "DeadlineExceeded",
  [status.NOT_FOUND]: "NotFound",
  [status.ALREADY_EXISTS]: "AlreadyExists",
  [status.PERMISSION_DENIED]: "PermissionDenied",
  [status.RESOURCE_EXHAUSTED]: "ResourceExhausted",
  [status.FAILED_PRECONDITION]: "FailedPrecondition",
  [status.ABORTED]: "Aborted",
  [status.UNIMPLEMENTED]: "Unimplemented",
  [status.INTERNAL]: "Internal",
  [status.UNAVAILABLE]: "Unavailable",
  [status.UNAUTHENTICATED]: "Unauthenticated",
};

function fromGrpcError(error: unknown, addr: string): WeftError {
  const { code, details } = error as Partial<ServiceError>;
  if (code === undefined) return new SystemError(messageOf(error), { cause: error });
  const text =
    code === status.UNAVAILABLE ? connectionText(details ?? "", addr) : (details ?? "unknown");
  const message = `rpc error: code = ${GO_NAMES[code] ?? "Unknown"} desc = ${text}`;
  const make = ERROR_OF_STATUS[code] ?? SystemError;
  return new make(message, { cause: error });
}

type ErrorClass = new (message: string, options?: ErrorOptions) => WeftError;

/** What a caller can do about it; everything else is a fault of the other side's. */
const ERROR_OF_STATUS: Readonly<Record<number, ErrorClass>> = {
  [status.UNAVAILABLE]: UnavailableError,
  [status.DEADLINE_EXCEEDED]: UnavailableError,
  [status.CANCELLED]: UnavailableError,
  [status.INVALID_ARGUMENT]: InvalidParameterError,
  [status.NOT_FOUND]: NotFoundError,
  [status.FAILED_PRECONDITION]: ConflictError,
  [status.UNAUTHENTICATED]: UnauthorizedError,
  [status.PERMISSION_DENIED]: ForbiddenError,
  [status.UNIMPLEMENTED]: NotImplementedError,
};

const SYSCALL_TEXTS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connect: connection refused",
  EHOSTUNREACH: "connect: no route to host",
  ENETUNREACH: "connect: network is unreachable",
  ETIMEDOUT: "i/o timeout",
};

/** grpc-js' account of a failed connection in the words that Docker has for it (read off 20.10). */
function connectionText(details: string, addr: string): string {
  const dial = /Last error:.*?connect (E[A-Z]+)/.exec(details)?.[1];
  if (dial !== undefined) {
    const why = SYSCALL_TEXTS[dial] ?? `connect: ${dial}`;
    return `connection error: desc = "transport: Error while dialing dial tcp ${addr}: ${why}"`;
  }
  const handshake = /Last error: (.*?)\.? *Resolution note/.exec(details)?.[1];
  if (handshake !== undefined && handshake !== "null") {
    return `connection error: desc = "transport: authentication handshake failed: ${handshake}"`;
  }
  return details;
}

function methodDefinition<M extends DescMethod>(method: M): MethodDefinition<Input<M>, Output<M>> {
  const kind = method.methodKind;
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: kind === "client_streaming" || kind === "bidi_streaming",
    responseStream: kind === "server_streaming" || kind === "bidi_streaming",
    requestSerialize: serializer<Input<M>>(method.input),
    requestDeserialize: deserializer<Input<M>>(method.input),
    responseSerialize: serializer<Output<M>>(method.output),
    responseDeserialize: deserializer<Output<M>>(method.output),
  };
}

/** A message that knows its own bytes. */
interface Encoded {
  encode(): Buffer;
}

function serializer<T>(schema: DescMessage): (message: T | Encoded) => Buffer {
  return (message) => {
    if (isEncoded(message)) return message.encode();
    const bytes = toBinary(schema, message as MessageShape<DescMessage>);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
}

function isEncoded(message: unknown): message is Encoded {
  return typeof (message as Partial<Encoded>).encode === "function";
}

function deserializer<T>(schema: DescMessage): (bytes: Buffer) => T {
  return (bytes) => fromBinary(schema, bytes) as T;
}
