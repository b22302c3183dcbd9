/** What the metrics page says of a node's gossip. Pure. */
import { counter, gauge, type MetricFamily } from "../base/metrics.ts";
import { MEMBER_STATES } from "../gossip/messages.ts";
import type { GossipReport } from "./gossip-report.ts";

export function gossipFamilies({ counters, members, disputed }: GossipReport): MetricFamily[] {
  const states = MEMBER_STATES.map((state) => ({
    labels: { state },
    value: members.filter((member) => member.state === state).length,
  }));
  const labelled = (label: string, values: Readonly<Record<string, number>>) =>
    Object.entries(values).map(([name, value]) => ({ labels: { [label]: name }, value }));
  const { packetsIn, packetsOut, bytesOut, unsealed, undecodable } = counters;
  const { exchanges, exchangesFailed } = counters;
  const lag = members.reduce((sum, member) => sum + (member.lag ?? 0), 0);
  return [
    gauge("weft_gossip_members", "Members of the gossip as this node sees them.", states),
    gauge("weft_gossip_lag", "Words of other nodes that this one lacks.", lag),
    gauge("weft_gossip_disputed", "Words that managers' own contradict; not heard.", disputed),
    counter(
      "weft_gossip_packets_total",
      "Packets of the gossip.",
      labelled("direction", { in: packetsIn, out: packetsOut }),
    ),
    counter("weft_gossip_transmit_bytes_total", "Bytes of packets of the gossip.", bytesOut),
    counter(
      "weft_gossip_refused_total",
      "Packets and streams that were sealed with no key of the ring, or are not gossip.",
      labelled("reason", { unsealed, undecodable }),
    ),
    counter(
      "weft_gossip_exchanges_total",
      "Exchanges of everything with another member.",
      labelled("outcome", { done: exchanges, failed: exchangesFailed }),
    ),
  ];
}
