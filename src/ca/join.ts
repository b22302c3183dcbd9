/** `docker swarm join`, seen from the node: from a token and an address to certificates on disk. */
import { createPrivateKey } from "node:crypto";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Clock, delay } from "../base/clock.ts";
import { InvalidParameterError, isTemporary, messageOf, UnavailableError } from "../base/errors.ts";
import { writeFileAtomic } from "../base/files.ts";
import type { NodeAvailability } from "../cluster/objects.ts";
import { type KeyAndRequest, keyAndRequest, newKeyAndRequest } from "./certificate-request.ts";
import { fetchRootCertificate, requestMembership } from "./client.ts";
import { parseJoinToken } from "./join-token.ts";
import { NodeCertificates } from "./node-certificates.ts";

/** As Docker: what has not answered by then is named, and the join fails. */
const JOIN_TIMEOUT_MS = 20_000;
/** One try at one manager; long enough for a lost SYN or two. */
const CALL_TIMEOUT_MS = 5_000;
const RETRY_MS = 500;

export interface JoinInit {
  /** Managers, each with its port, tried in order. */
  readonly remoteAddrs: readonly string[];
  readonly token: string;
  readonly availability: NodeAvailability;
  /** The IP address where other nodes reach this one; empty for the one that the manager sees. */
  readonly advertiseAddr: string;
  /** The IP address where its tunnels end; empty or absent for where it is reached. */
  readonly dataPathAddr?: string;
  /** CIDRs that this host has routes to; none when absent. */
  readonly hostRoutes?: readonly string[];
  readonly dataDir: string;
  readonly clock: Clock;
  readonly signal?: AbortSignal;
}

/** Where a node's certificates are. */
export function certificatesDirectory(dataDir: string): string {
  return join(dataDir, "certificates");
}

/**
 * Becomes a member. Nothing is written to disk unless a manager has issued the certificate, or may have: what
 * was not answered may have made this node a member already, and is asked again with the same key.
 */
export async function joinCluster(init: JoinInit): Promise<NodeCertificates> {
  parseJoinToken(init.token);
  if (init.remoteAddrs.length === 0) {
    throw new InvalidParameterError("at least 1 RemoteAddr is required to join");
  }
  const directory = certificatesDirectory(init.dataDir);
  const kept = readJoinKey(directory);
  const asked = kept === undefined ? newKeyAndRequest() : keyAndRequest(kept);
  const until = init.clock.monotonic() + JOIN_TIMEOUT_MS;
  for (;;) {
    const tried = await tryEach(init, asked);
    if ("certificates" in tried) {
      rmSync(join(directory, JOIN_KEY_FILE), { force: true });
      return tried.certificates;
    }
    if (init.clock.monotonic() + RETRY_MS > until) {
      keepJoinKey(directory, asked.key);
      const text = `Timeout was reached before node joined. ${messageOf(tried.cause)}`;
      throw new UnavailableError(text, { cause: tried.cause });
    }
    await delay(init.clock, "join retry", RETRY_MS, init.signal);
  }
}

/** The key of a join that has come to nothing, for the next try. */
const JOIN_KEY_FILE = "join.key";

/** The next join from here asks with this key, and is the same member to the managers. */
export function keepJoinKey(directory: string, key: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  writeFileAtomic(join(directory, JOIN_KEY_FILE), key, 0o600);
}

function readJoinKey(directory: string): string | undefined {
  try {
    return createPrivateKey(readFileSync(join(directory, JOIN_KEY_FILE)))
      .export({ type: "pkcs8", format: "pem" })
      .toString();
  } catch {
    // None, as nearly always, or a torn one: then this is another member.
    return undefined;
  }
}

/** The certificates, or why the last manager could not be reached. Throws what trying again cannot mend. */
async function tryEach(
  init: JoinInit,
  asked: KeyAndRequest,
): Promise<{ readonly certificates: NodeCertificates } | { readonly cause: unknown }> {
  let cause: unknown;
  for (const addr of init.remoteAddrs) {
    try {
      return { certificates: await joinAt(addr, init, asked) };
    } catch (error) {
      init.signal?.throwIfAborted();
      const isLast = addr === init.remoteAddrs.at(-1);
      // A host that refuses the connection is there and has no manager: waiting would help nobody.
      const isRefused = messageOf(error).includes("connection refused");
      if (!isTemporary(error) || (isRefused && isLast)) throw error;
      cause = error;
    }
  }
  return { cause };
}

async function joinAt(
  addr: string,
  init: JoinInit,
  { key, request }: KeyAndRequest,
): Promise<NodeCertificates> {
  const call = { addr, deadlineMs: CALL_TIMEOUT_MS, signal: init.signal, token: init.token };
  const rootCertificate = await fetchRootCertificate(call);
  const { availability, advertiseAddr, dataPathAddr = "", hostRoutes = [] } = init;
  const certificate = await requestMembership({
    ...call,
    rootCertificate,
    request,
    availability,
    advertiseAddr,
    dataPathAddr,
    hostRoutes,
  });
  return await NodeCertificates.create(certificatesDirectory(init.dataDir), {
    key,
    certificate,
    rootCertificate,
  });
}
