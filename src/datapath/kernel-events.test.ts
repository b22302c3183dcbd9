import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { urgencyOfNetwork, urgencyOfRules } from "./kernel-events.ts";

const UPLINK = { link: "eth0", address: "192.168.99.100", published: new Set(["eth1"]) };

const RULES: readonly (readonly [string, "lost" | "changed" | undefined])[] = [
  ["delete table inet weft", "lost"],
  ["delete table netdev weft", "lost"],
  ["delete table inet weft2", undefined],
  ["delete element inet weft held { tcp . 80 }", "changed"],
  ["add element inet weft peers { 192.168.99.200 }", "changed"],
  ["delete chain inet weft nat_prerouting", "changed"],
  ["delete rule netdev weft egress handle 3", "changed"],
  ["insert rule ip filter DOCKER-USER counter packets 0 bytes 0 return", "changed"],
  [
    "add chain ip filter FORWARD { type filter hook forward priority filter; policy drop; }",
    "changed",
  ],
  ["delete table inet firewalld", "changed"],
  ["delete table inet weft_overlay", "lost"],
  ["delete element inet weft_overlay vnis { 4097 }", "changed"],
  ["delete table netdev weft_overlay", "changed"],
  ["delete chain netdev weft_overlay from_17", "changed"],
  ["delete element netdev weft_overlay at_wb001001 { 02:42:0a:00:01:0b : goto to_17 }", "changed"],
  ["add element netdev weft_overlay at_wb001001 { 02:42:0a:00:01:0b : goto to_17 }", undefined],
  ["insert rule ip6 filter DOCKER-USER return", "changed"],
  ["add rule inet firewalld filter_INPUT drop", undefined],
  ["# ERROR: We lost some netlink events!", "changed"],
  ["# new generation 9 by process 28411 (nft)", undefined],
  ["add rule ip nat DOCKER iifname != docker0 tcp dport 80 dnat to 172.17.0.2:80", undefined],
  ["add element inet user blocked { 10.0.0.1 }", undefined],
];

const NETWORK: readonly (readonly [string, "changed" | undefined])[] = [
  ["Deleted 10.255.0.9 via 10.255.0.3 dev weft0 proto 147 onlink ", "changed"],
  ["Deleted 10.255.0.9 dev wv0123456789ab proto 147 scope global ", "changed"],
  [
    "Deleted 1000:\tfrom 10.255.0.0/16 fwmark 0x40000000/0x40000000 lookup 9338 proto 147",
    "changed",
  ],
  ["10.255.0.3 dev weft0 FAILED ", "changed"],
  ["Deleted 192.168.99.101 dev weft0 lladdr 02:42:0a:ff:00:03 NOARP PERMANENT ", "changed"],
  ["2: weft0: <BROADCAST,MULTICAST> mtu 1450 qdisc noqueue state DOWN group default ", "changed"],
  ["Deleted 7: wv0123456789ab@if6: <BROADCAST,MULTICAST> mtu 1450 qdisc noop ", "changed"],
  ["inet weft0 rp_filter off ", "changed"],
  ["inet all rp_filter strict ", "changed"],
  ["inet all forwarding on rp_filter off ", "changed"],
  ["inet wv0123456789ab rp_filter strict ", "changed"],
  ["inet wv0123456789ab rp_filter loose ", undefined],
  ["inet wv0123456789ab forwarding off rp_filter off mc_forwarding off ", undefined],
  [
    "3: wv0123456789ab@wc01: <BROADCAST,MULTICAST,M-DOWN> mtu 1450 qdisc noop state DOWN ",
    undefined,
  ],
  [
    "3: wv0123456789ab@wc01: <NO-CARRIER,BROADCAST,MULTICAST,UP,M-DOWN> mtu 1450 qdisc noqueue ",
    undefined,
  ],
  [
    "3: wv0123456789ab@if2: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450 qdisc noqueue state UP ",
    undefined,
  ],
  ["3: wv0123456789ab@if2: <BROADCAST,MULTICAST> mtu 1450 qdisc noqueue state DOWN ", "changed"],
  ["3: wv0123456789ab    inet 169.254.1.1/32 scope link wv0123456789ab ", undefined],
  ["Deleted 3: wv0123456789ab    inet 169.254.1.1/32 scope link wv0123456789ab ", "changed"],
  ["10.255.0.9 via 10.255.0.9 dev wv0123456789ab proto 147 onlink linkdown ", undefined],
  ["10.255.0.9 via 10.255.0.8 dev wv0123456789ab proto 147 onlink ", "changed"],
  ["10.255.0.9 via 10.255.0.3 dev weft0 proto 147 onlink ", "changed"],
  ["10.255.0.9 dev wv0123456789ab lladdr ce:c3:84:74:ed:c6 REACHABLE ", undefined],
  ["10.255.0.9 dev wv0123456789ab FAILED ", undefined],
  ["Deleted 10.255.0.9 dev wv0123456789ab lladdr ce:c3:84:74:ed:c6 STALE ", undefined],
  ["inet all forwarding off ", "changed"],
  ["3: eth0: <BROADCAST,MULTICAST,UP> mtu 1400 qdisc noqueue state UP ", "changed"],
  ["3: eth0@if9: <BROADCAST,MULTICAST> mtu 1500 state DOWN ", "changed"],
  ["Deleted 3: eth0    inet 192.168.99.100/24 scope global eth0", "changed"],
  ["4: bond0    inet 192.168.99.100/24 scope global bond0", "changed"],
  ["5: eth1    inet 10.7.0.2/24 scope global eth1\\       valid_lft forever", "changed"],
  ["Deleted 5: eth1    inet6 fd07::1/64 scope global proto kernel_ra ", "changed"],
  ["Deleted 5: eth1@if7: <BROADCAST,MULTICAST> mtu 1500 qdisc noop state DOWN ", "changed"],
  ["6: eth11    inet 10.8.0.2/24 scope global eth11", undefined],
  ["192.168.99.1 dev eth0 lladdr 52:54:00:00:00:01 REACHABLE ", undefined],
  ["Deleted 10.0.1.6 dev wx001001 lladdr 02:42:0a:00:01:06 PERMANENT ", "changed"],
  ["Deleted fd00:1::6 dev wx001001 lladdr 02:42:0a:00:01:06 PERMANENT ", "changed"],
  ["02:42:0a:00:01:06 dev wx001001 self permanent", "changed"],
  ["8: wo0123456789ab@if7: <BROADCAST,MULTICAST> master wb001001 state DOWN ", "changed"],
  ["8: wo0123456789ab@if7: <BROADCAST,UP,LOWER_UP> mtu 1450 qdisc noqueue state UP ", "changed"],
  [
    "8: wo0123456789ab@if7: <BROADCAST,UP> mtu 1450 qdisc noqueue master wb001001 state UP ",
    undefined,
  ],
  ["8: wo0123456789ab@if7: <BROADCAST> mtu 1450 qdisc noop state DOWN ", undefined],
  ["Deleted 8: wo0123456789ab@if7: <BROADCAST> mtu 1450 qdisc noop state DOWN ", "changed"],
  ["dev wo0123456789ab lladdr 02:42:0a:00:01:0c NOARP ", undefined],
  ["Deleted dev wo0123456789ab lladdr 02:42:0a:00:01:0c NOARP ", "changed"],
  ["Deleted dev wo0123456789ab lladdr 5a:33:3a:96:29:fe PERMANENT ", undefined],
  [
    "2: wb001001: <NO-CARRIER,BROADCAST,MULTICAST,UP> mtu 1450 qdisc noqueue state DOWN ",
    undefined,
  ],
  ["2: wb001001: <BROADCAST,MULTICAST> mtu 1450 qdisc noqueue state DOWN ", "changed"],
  [
    "7: wx001001: <BROADCAST,MULTICAST,UP> mtu 1200 qdisc noqueue master wb001001 state UP ",
    "changed",
  ],
  ["inet wb001001 forwarding off rp_filter off ", undefined],
  ["inet wb001001 forwarding on rp_filter off ", "changed"],
  ["9: veth12ab@if8: <BROADCAST,MULTICAST> mtu 1500 master docker0 state UP ", undefined],
  ["172.17.0.2 dev docker0 lladdr 02:42:ac:11:00:02 REACHABLE ", undefined],
  ["inet vethab12 forwarding on ", undefined],
  ["fe80::/64 dev weft0 proto kernel metric 256 pref medium", undefined],
  ["Deleted ff02::2 dev weft0 lladdr 33:33:00:00:00:02 NOARP ", undefined],
];

describe("the kernel's news", () => {
  for (const [line, urgency] of RULES) {
    it(`of rules: ${line}`, () => assert.equal(urgencyOfRules(line), urgency));
  }
  for (const [line, urgency] of NETWORK) {
    it(`of the network: ${line}`, () => assert.equal(urgencyOfNetwork(line, UPLINK), urgency));
  }
  it("of an uplink concern nobody before a view was applied", () => {
    assert.equal(urgencyOfNetwork("3: eth0: <UP> mtu 1400 ", undefined), undefined);
  });
});
