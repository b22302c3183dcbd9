/** Where published ports lead: a lookup by port, then one of its endpoints. */
import type { Ways } from "./mesh.ts";
import { answeredPorts } from "./mesh.ts";
import { type Balance, endpointsType, oneOf } from "./nft/balance.ts";
import { type Chain, chain, type ElementSet, mapOf, setOf, type Table } from "./nft/ruleset.ts";
import type { MeshPort, MeshProtocol, MeshView } from "./view.ts";

/** What keeps the connections that the mesh leads from being forgotten while they are silent. */
export const KEPT_LONG = { ip: 'ct timeout set "mesh_tcp"', ip6: 'ct timeout set "mesh_tcp6"' };

/**
 * A verdict for each port that is answered, and an element for each of its endpoints; a chain for each
 * number of endpoints that some port has. So a change of one service is a few elements, and no rule grows
 * with services. (A rule with a map of its own for each service would be simpler; but making the n-th
 * anonymous map costs the kernel n: 10,000 services took 14 s, with these elements 0.5 s.)
 */
export function servedPorts(view: MeshView, ways: Ways): Pick<Table, "sets" | "chains"> {
  const chains = new Map(CHAINS_KEPT);
  const answered: string[] = [];
  const led = { ip: new LedPorts("ip", chains), ip6: new LedPorts("ip6", chains) };
  for (const { port, targets, targets6 } of answeredPorts(view, ways)) {
    answered.push(`${port.protocol} . ${port.publishedPort}`);
    led.ip.add(port, targets);
    if (targets6.length > 0) led.ip6.add(port, targets6);
  }
  const sets = new Map([
    ["answered", setOf("type inet_proto . inet_service", answered)],
    ...led.ip.sets(),
    ...led.ip6.sets(),
  ]);
  return { chains, sets };
}

type Family = "ip" | "ip6";

/** Of one family: where each port leads. */
class LedPorts {
  readonly #family: Family;
  readonly #chains: Map<string, Chain>;
  readonly #verdicts: [string, string][] = [];
  readonly #endpoints: Record<MeshProtocol, [string, string][]> = { tcp: [], udp: [] };

  constructor(family: Family, chains: Map<string, Chain>) {
    this.#family = family;
    this.#chains = chains;
  }

  add({ protocol, publishedPort }: MeshPort, targets: readonly string[]): void {
    const name = chainOf(protocol, targets.length, this.#family);
    this.#verdicts.push([`${protocol} . ${publishedPort}`, `goto ${name}`]);
    targets.forEach((target, index) =>
      this.#endpoints[protocol].push([`${publishedPort} . ${index}`, target]),
    );
    if (!this.#chains.has(name)) {
      this.#chains.set(name, chain(oneOf(balanceOf(protocol, this.#family), targets.length)));
    }
  }

  sets(): [string, ElementSet][] {
    const { tcp, udp } = this.#endpoints;
    const suffix = suffixOf(this.#family);
    return [
      [`services${suffix}`, mapOf("type inet_proto . inet_service : verdict", this.#verdicts)],
      [`tcp_endpoints${suffix}`, mapOf(endpointsOf("tcp", this.#family), tcp)],
      [`udp_endpoints${suffix}`, mapOf(endpointsOf("udp", this.#family), udp)],
    ];
  }
}

/** Of the names of what IPv6 has beside IPv4. */
function suffixOf(family: Family): string {
  return family === "ip" ? "" : "6";
}

/** The chain that leads to one of so many endpoints. */
export function chainOf(protocol: MeshProtocol, endpoints: number, family: Family = "ip"): string {
  return `${protocol}${suffixOf(family)}_one_of_${endpoints}`;
}

/**
 * Always there: a packet that is under way while a transaction is committed may see the new verdict and the old
 * rules, and a chain that is new has no old rules. It would be refused as if nobody served its port.
 */
function keptChains(): readonly (readonly [string, Chain])[] {
  const counts = Array.from({ length: KEPT_CHAINS }, (_, index) => index + 1);
  return (["ip", "ip6"] as const).flatMap((family) =>
    (["tcp", "udp"] as const).flatMap((protocol) =>
      counts.map(
        (count) =>
          [
            chainOf(protocol, count, family),
            chain(oneOf(balanceOf(protocol, family), count)),
          ] as const,
      ),
    ),
  );
}

/** Services of more endpoints than this have a chain made when it is needed. */
export const KEPT_CHAINS = 32;
const CHAINS_KEPT = keptChains();

/** By a map for each protocol, as nft 1.0.6 does not understand its own `typeof th dport` when it reads it back. */
function balanceOf(protocol: MeshProtocol, family: Family): Balance {
  const first = protocol === "tcp" ? `${KEPT_LONG[family]} ` : "";
  const map = `${protocol}_endpoints${suffixOf(family)}`;
  return { family, key: `${protocol} dport`, map, first };
}

function endpointsOf(protocol: MeshProtocol, family: Family): string {
  return endpointsType(`${protocol} dport`, `${family} daddr . ${protocol} dport`);
}
