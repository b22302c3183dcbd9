/** The node's calls to its cluster's CA: the root without trust, the first certificate by token, the next by the last. */

import { create } from "@bufbuild/protobuf";
import { ChannelCredentials } from "@grpc/grpc-js";
import { SystemError } from "../base/errors.ts";
import type { NodeAvailability } from "../cluster/objects.ts";
import {
  GetRootCACertificateRequestSchema,
  IssueNodeCertificateRequestSchema,
  NodeCA,
} from "../dispatcher/gen/weft_pb.ts";
import { RpcClient } from "../dispatcher/rpc.ts";
import { CA_SERVER_NAME } from "./identity.ts";
import { parseJoinToken, rootDigest } from "./join-token.ts";
import type { CertificateMaterial } from "./node-certificates.ts";

interface CallInit {
  /** The manager, as "192.168.99.100:2377". */
  readonly addr: string;
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The cluster's root certificate, believed only when its digest is the token's. TLS says nothing here,
 * as there is no root yet to check with; the digest does.
 */
export async function fetchRootCertificate(
  init: CallInit & { readonly token: string },
): Promise<string> {
  const { digest } = parseJoinToken(init.token);
  const credentials = ChannelCredentials.createSsl(null, null, null, {
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
  });
  const request = create(GetRootCACertificateRequestSchema);
  const response = await call(init, credentials, (client) =>
    client.unary(NodeCA.method.getRootCACertificate, request, init),
  );
  if (rootDigest(response.certificate) !== digest) {
    throw new SystemError(`remote CA does not match fingerprint. Expected: ${digest}`);
  }
  return response.certificate;
}

/** A new member's certificate for the key behind `request`. */
export async function requestMembership(
  init: CallInit & {
    readonly rootCertificate: string;
    readonly request: string;
    readonly token: string;
    readonly availability: NodeAvailability;
    readonly advertiseAddr: string;
    readonly dataPathAddr: string;
    readonly hostRoutes: readonly string[];
  },
): Promise<string> {
  const credentials = ChannelCredentials.createSsl(Buffer.from(init.rootCertificate));
  const request = create(IssueNodeCertificateRequestSchema, {
    csr: init.request,
    token: init.token,
    availability: init.availability,
    advertiseAddr: init.advertiseAddr,
    dataPathAddr: init.dataPathAddr,
    hostRoutes: [...init.hostRoutes],
  });
  const response = await call(init, credentials, (client) =>
    client.unary(NodeCA.method.issueNodeCertificate, request, init),
  );
  return response.certificate;
}

/** The next certificate of a member, for the key behind `request`. */
export async function requestRenewal(
  init: CallInit & { readonly material: CertificateMaterial; readonly request: string },
): Promise<string> {
  const request = create(IssueNodeCertificateRequestSchema, { csr: init.request });
  const response = await call(init, memberCredentials(init.material), (client) =>
    client.unary(NodeCA.method.issueNodeCertificate, request, init),
  );
  return response.certificate;
}

/** Shows this node's certificate and trusts only the cluster's root. */
export function memberCredentials(material: CertificateMaterial): ChannelCredentials {
  return ChannelCredentials.createSsl(
    Buffer.from(material.rootCertificate),
    Buffer.from(material.key),
    Buffer.from(material.certificate),
  );
}

async function call<T>(
  init: CallInit,
  credentials: ChannelCredentials,
  make: (client: RpcClient) => Promise<T>,
): Promise<T> {
  const client = new RpcClient({ addr: init.addr, credentials, serverName: CA_SERVER_NAME });
  try {
    return await make(client);
  } finally {
    client.close();
  }
}
