/**
 * A manager's one TLS port: the CA's two calls for anybody, everything else for members only. We terminate
 * TLS ourselves and hand the connections to grpc-js: so a join needs no certificate, a stranger's is cut off
 * with its reason in the log, and a renewed one is used without a stream being dropped.
 */
import type { AddressInfo } from "node:net";
import { createServer, type Server as TLSServer, type TLSSocket } from "node:tls";
import { create } from "@bufbuild/protobuf";
import {
  type ConnectionInjector,
  Server,
  ServerCredentials,
  type ServerReadableStream,
  type ServerUnaryCall,
  type sendUnaryData,
} from "@grpc/grpc-js";
import { SystemError, UnauthorizedError } from "../base/errors.ts";
import type { Startable } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import { identityOfSubject, type NodeIdentity } from "../ca/identity.ts";
import type { Caller, NodeCA } from "../ca/node-ca.ts";
import type { NodeCertificates } from "../ca/node-certificates.ts";
import type { Dispatcher } from "./dispatcher.ts";
import {
  Dispatcher as DispatcherService,
  type GetRootCACertificateRequest,
  type GetRootCACertificateResponse,
  GetRootCACertificateResponseSchema,
  type IssueNodeCertificateRequest,
  type IssueNodeCertificateResponse,
  IssueNodeCertificateResponseSchema,
  NodeCA as NodeCAService,
  type PublishLogsRequest,
  type PublishLogsResponse,
  PublishLogsResponseSchema,
} from "./gen/weft_pb.ts";
import { MESSAGE_BYTES_MAX, serviceDefinition, toGrpcError } from "./rpc.ts";
import type { SessionStream } from "./session.ts";

/** A connection without certificate is there for a join, which takes a tenth of a second. */
const STRANGER_MS_MAX = 30_000;
const HANDSHAKE_MS_MAX = 10_000;
/** Connections without certificate at a time, joins among them; one more is cut off, so that members always find room. */
const STRANGERS_MAX = 256;
/** Beyond this new connections are refused; a cluster of a thousand nodes has some two thousand. */
const CONNECTIONS_MAX = 10_000;

export interface ManagerServerComponents {
  readonly dispatcher: Dispatcher;
  readonly nodeCA: NodeCA;
  readonly certificates: NodeCertificates;
  readonly log: Logger;
}

export interface ManagerServerInit {
  readonly host: string;
  /** 0 for any free one. */
  readonly port: number;
}

export class ManagerServer implements Startable {
  readonly #components: ManagerServerComponents;
  readonly #init: ManagerServerInit;
  readonly #grpc: Server;
  readonly #injector: ConnectionInjector;
  readonly #tls: TLSServer;
  /** By "address:port", as calls name their peer. */
  readonly #sockets = new Map<string, TLSSocket>();
  #strangers = 0;
  #unsubscribe: (() => void) | undefined;

  constructor(components: ManagerServerComponents, init: ManagerServerInit) {
    this.#components = components;
    this.#init = init;
    this.#grpc = new Server({ "grpc.max_receive_message_length": MESSAGE_BYTES_MAX });
    this.#grpc.addService(serviceDefinition(NodeCAService), this.#caHandlers());
    this.#grpc.addService(serviceDefinition(DispatcherService), this.#dispatcherHandlers());
    this.#injector = this.#grpc.createConnectionInjector(ServerCredentials.createInsecure());
    this.#tls = createServer(
      {
        ...this.#secureContext(),
        requestCert: true,
        // Checked in #onConnection: refused here, neither side would learn why.
        rejectUnauthorized: false,
        ALPNProtocols: ["h2"],
        minVersion: "TLSv1.3",
        handshakeTimeout: HANDSHAKE_MS_MAX,
      },
      (socket) => this.#onConnection(socket),
    );
    this.#tls.maxConnections = CONNECTIONS_MAX;
    this.#tls.on("tlsClientError", (error, socket) => {
      components.log.debug("handshake failed", { error, peer: peerOf(socket) });
    });
  }

  /** Resolves when it listens; rejects when the address cannot be had. */
  async start(): Promise<void> {
    const useNewest = () => this.#tls.setSecureContext(this.#secureContext());
    this.#unsubscribe = this.#components.certificates.onChanged(useNewest);
    useNewest();
    const { host, port } = this.#init;
    await new Promise<void>((resolve, reject) => {
      this.#tls.once("error", (cause) => {
        reject(new SystemError(`cannot listen on ${host}:${port}: ${cause.message}`, { cause }));
      });
      this.#tls.listen({ host, port }, resolve);
    });
    this.#tls.on("error", (error) => this.#components.log.error("listener broke", { error }));
  }

  get address(): AddressInfo {
    return this.#tls.address() as AddressInfo;
  }

  async stop(): Promise<void> {
    this.#unsubscribe?.();
    const closed = new Promise<void>((resolve) => this.#tls.close(() => resolve()));
    this.#grpc.forceShutdown();
    for (const socket of this.#sockets.values()) socket.destroy();
    await closed;
  }

  #secureContext() {
    const { key, certificate, rootCertificate } = this.#components.certificates.material;
    return { key, cert: certificate, ca: rootCertificate };
  }

  #onConnection(socket: TLSSocket): void {
    const peer = peerOf(socket);
    // Its end is seen by the streams on it; without a listener it would end the process.
    socket.on("error", (error) => this.#components.log.debug("connection broke", { error, peer }));
    const isStranger = socket.getPeerX509Certificate() === undefined;
    if (!isStranger && !socket.authorized) {
      const reason = String(socket.authorizationError);
      this.#components.log.warn("certificate refused", { peer, reason });
      socket.destroy();
      return;
    }
    if (isStranger && !this.#admitStranger(socket)) return;
    this.#sockets.set(peer, socket);
    socket.once("close", () => this.#sockets.delete(peer));
    this.#injector.injectConnection(socket);
  }

  #admitStranger(socket: TLSSocket): boolean {
    if (this.#strangers >= STRANGERS_MAX) {
      socket.destroy();
      return false;
    }
    this.#strangers += 1;
    socket.once("close", () => {
      this.#strangers -= 1;
    });
    socket.setTimeout(STRANGER_MS_MAX, () => socket.destroy());
    return true;
  }

  #caHandlers() {
    const { nodeCA } = this.#components;
    return {
      getRootCACertificate: unary<GetRootCACertificateRequest, GetRootCACertificateResponse>(
        async () =>
          create(GetRootCACertificateResponseSchema, { certificate: nodeCA.rootCertificate() }),
      ),
      issueNodeCertificate: unary<IssueNodeCertificateRequest, IssueNodeCertificateResponse>(
        async (call) => {
          const issued = await nodeCA.issue(call.request, callerOf(call));
          const { nodeID: nodeId, certificate } = issued;
          return create(IssueNodeCertificateResponseSchema, { nodeId, certificate });
        },
      ),
    };
  }

  #dispatcherHandlers() {
    const { dispatcher } = this.#components;
    return {
      session: (stream: SessionStream) => {
        try {
          const identity = memberIdentity(stream);
          const { remoteAddress } = callerOf(stream);
          const cutConnection = () => void this.#sockets.get(stream.getPeer())?.destroy();
          dispatcher.accept({ stream, identity, remoteAddress, cutConnection });
        } catch (error) {
          stream.emit("error", toGrpcError(error));
        }
      },
      publishLogs: (
        call: ServerReadableStream<PublishLogsRequest, PublishLogsResponse>,
        respond: sendUnaryData<PublishLogsResponse>,
      ) => {
        const publish = async () => dispatcher.publishLogs(memberIdentity(call), call);
        publish().then(
          () => respond(null, create(PublishLogsResponseSchema)),
          (error: unknown) => respond(toGrpcError(error)),
        );
      },
    };
  }
}

interface AnyCall {
  getPeer(): string;
  getAuthContext(): { sslPeerCertificate?: { subject: Parameters<typeof identityOfSubject>[0] } };
}

function callerOf(call: AnyCall): Caller {
  const { sslPeerCertificate } = call.getAuthContext();
  const identity =
    sslPeerCertificate === undefined ? undefined : identityOfSubject(sslPeerCertificate.subject);
  const remoteAddress = addressOfPeer(call.getPeer());
  return identity === undefined ? { remoteAddress } : { identity, remoteAddress };
}

function memberIdentity(call: AnyCall): NodeIdentity {
  const { identity } = callerOf(call);
  if (identity === undefined) {
    throw new UnauthorizedError("a certificate of this cluster is needed for this call");
  }
  return identity;
}

function unary<Request, Response>(
  handle: (call: ServerUnaryCall<Request, Response>) => Promise<Response>,
) {
  return (call: ServerUnaryCall<Request, Response>, respond: sendUnaryData<Response>) => {
    handle(call).then(
      (response) => respond(null, response),
      (error: unknown) => respond(toGrpcError(error)),
    );
  };
}

function peerOf(socket: TLSSocket): string {
  return `${socket.remoteAddress}:${socket.remotePort}`;
}

/** "::ffff:192.168.99.101:40000" and "192.168.99.101:40000" are both 192.168.99.101; "[fd00::1]:40000" is fd00::1. */
function addressOfPeer(peer: string): string {
  const address = peer.replace(/:\d+$/, "").replace(/^::ffff:(?=\d+\.)/, "");
  return address.replace(/^\[(.*)\]$/, "$1");
}
