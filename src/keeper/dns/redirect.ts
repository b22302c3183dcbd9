/**
 * Leads what a container sends to its resolver, 127.0.0.11:53, to the keeper's sockets in its namespace instead of the
 * Engine's, by a table of Weft's own there. What the keeper itself sends there goes on to the Engine's.
 */
import { spawn } from "node:child_process";
import { SystemError } from "../../base/errors.ts";

/** The address of the Engine's resolver in every container. */
export const RESOLVER_ADDRESS = "127.0.0.11";
export const RESOLVER_PORT = 53;
/** Where the keeper asks the Engine's resolver from. */
export const FORWARDER_ADDRESS = "127.0.0.12";

const TABLE = "weft_names";
/** `nft` answers in milliseconds; one that takes this long is stuck and killed. */
const NFT_TIMEOUT_MS = 5_000;
/** Said of a namespace or table that is not there any more. */
const COMPLAINT_CHARACTERS_MAX = 4_096;

/** Before the Engine's own rules (dstnat at output is -100): whoever is first decides. */
export function redirectRules(port: number): string {
  const lead = (protocol: string) =>
    `ip daddr ${RESOLVER_ADDRESS} ${protocol} dport ${RESOLVER_PORT} dnat to ${RESOLVER_ADDRESS}:${port}`;
  return `add table ip ${TABLE}
delete table ip ${TABLE}
table ip ${TABLE} {
  chain output {
    type nat hook output priority -110; policy accept;
    ip saddr ${FORWARDER_ADDRESS} return
    ${lead("udp")}
    ${lead("tcp")}
  }
}
`;
}

export function redirect(namespace: string, port: number): Promise<void> {
  return nft(namespace, redirectRules(port));
}

/** Whoever asks is answered by the Engine again. */
export function undoRedirect(namespace: string): Promise<void> {
  return nft(namespace, `add table ip ${TABLE}\ndelete table ip ${TABLE}\n`);
}

function nft(namespace: string, transaction: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const args = [`--net=${namespace}`, "--", "nft", "-f", "-"];
    const child = spawn("nsenter", args, {
      stdio: ["pipe", "ignore", "pipe"],
      timeout: NFT_TIMEOUT_MS,
    });
    let complaint = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      if (complaint.length < COMPLAINT_CHARACTERS_MAX) complaint += text;
    });
    child.on("error", (cause) => {
      reject(new SystemError(`nsenter cannot be run: ${cause.message}`, { cause }));
    });
    child.on("close", (code, signal) => {
      if (code === 0) return resolve();
      const end = code === null ? `ended by ${signal}` : `exit status ${code}`;
      reject(new SystemError(`nft in ${namespace}: ${complaint.trim() || end}`));
    });
    child.stdin.on("error", () => {});
    child.stdin.end(transaction);
  });
}
