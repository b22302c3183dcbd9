/**
 * Leads what a container sends to its resolver, 127.0.0.11:53, to the keeper's sockets in its namespace instead of the
 * Engine's, by a table of Weft's own there. What the keeper itself sends there goes on to the Engine's.
 */

/** The address of the Engine's resolver in every container. */
export const RESOLVER_ADDRESS = "127.0.0.11";
export const RESOLVER_PORT = 53;
/** Where the keeper asks the Engine's resolver from. */
export const FORWARDER_ADDRESS = "127.0.0.12";

const TABLE = "weft_names";

/** Whoever asks is answered by the Engine again. */
export const UNDO_REDIRECT = `add table ip ${TABLE}
delete table ip ${TABLE}
`;

/** Before the Engine's own rules (dstnat at output is -100): whoever is first decides. */
export function redirectRules(port: number): string {
  const lead = (protocol: string) =>
    `ip daddr ${RESOLVER_ADDRESS} ${protocol} dport ${RESOLVER_PORT} dnat to ${RESOLVER_ADDRESS}:${port}`;
  return `${UNDO_REDIRECT}table ip ${TABLE} {
  chain output {
    type nat hook output priority -110; policy accept;
    ip saddr ${FORWARDER_ADDRESS} return
    ${lead("udp")}
    ${lead("tcp")}
  }
}
`;
}
