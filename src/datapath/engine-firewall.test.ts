import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  ACCEPT_RULES,
  acceptLinks,
  leadToChain,
  missingRules,
  missingWay,
  readEngineFirewall,
  removeAccepts,
} from "./engine-firewall.ts";
import type { Nft } from "./nft/nft.ts";
import { spawnedNft } from "./nft/open.ts";
import type { RunTool } from "./run.ts";

/** A host with these chains, in nft's listing; records what is restored. */
function hostWith(chains: Readonly<Record<string, unknown>>) {
  const restored: string[] = [];
  const run: RunTool = async (tool, _args, stdin = "") => {
    restored.push(`${tool}: ${stdin}`);
    return { status: 0, stdout: "", stderr: "" };
  };
  const nft: Nft = { ...spawnedNft(run), list: async (what) => chains[what] };
  return { host: { nft, run }, restored };
}

const match = (key: string, right: string) => ({
  match: { op: "==", left: { meta: { key } }, right },
});
const from = (address: string) => ({
  match: { op: "==", left: { payload: { protocol: "ip", field: "saddr" } }, right: address },
});
const COUNTER = { counter: { packets: 7, bytes: 420 } };
const ACCEPT = { accept: null };
/** As nft 1.0.6 lists what `iptables-nft -I DOCKER-USER …` made. */
const OURS = [
  [match("oifname", "wv*"), COUNTER, ACCEPT],
  [match("iifname", "wv*"), COUNTER, ACCEPT],
  [match("oifname", "weft0"), COUNTER, ACCEPT],
  [match("iifname", "weft0"), COUNTER, ACCEPT],
  [match("iifname", "wb*"), match("oifname", "wb*"), COUNTER, ACCEPT],
];
const RETURN = [COUNTER, { return: null }];

function chain(rules: readonly unknown[], policy = "accept") {
  const listed = rules.map((expr) => ({ rule: { chain: "DOCKER-USER", expr } }));
  return { nftables: [{ metainfo: {} }, { chain: { name: "DOCKER-USER", policy } }, ...listed] };
}

const USER = "chain ip filter DOCKER-USER";
const FORWARD = "chain ip filter FORWARD";

describe("the Engine's firewall", () => {
  it("is given the rules that it lacks, before its own RETURN", async () => {
    const { host, restored } = hostWith({ [USER]: chain([RETURN]) });
    const firewall = await readEngineFirewall(host);
    await acceptLinks(host.run, firewall, missingRules(firewall));
    const inserts = ACCEPT_RULES.map((rule) => `-I DOCKER-USER ${rule}\n`).join("");
    assert.deepEqual(restored, [`iptables-nft-restore: *filter\n${inserts}COMMIT\n`]);
  });

  it("is left alone when it has them", async () => {
    const { host, restored } = hostWith({ [USER]: chain([...OURS, RETURN]) });
    const firewall = await readEngineFirewall(host);
    await acceptLinks(host.run, firewall, missingRules(firewall));
    assert.deepEqual(restored, []);
  });

  it("lacks what accepts less than all of a link's packets, or drops them", async () => {
    const narrow = [match("iifname", "weft0"), from("10.1.1.1"), COUNTER, ACCEPT];
    const extension = [
      match("iifname", "weft0"),
      { xt: { type: "match", name: "conntrack" } },
      ACCEPT,
    ];
    const drop = [match("iifname", "weft0"), COUNTER, { drop: null }];
    const others = OURS.filter(([first]) => first !== OURS[3]?.[0]);
    const { host } = hostWith({ [USER]: chain([narrow, extension, drop, ...others]) });
    assert.deepEqual(missingRules(await readEngineFirewall(host)), ["-i weft0 -j ACCEPT"]);
  });

  it("gets rid of ours at a reset, and keeps the user's", async () => {
    const user = [from("10.1.1.1"), COUNTER, { drop: null }];
    const { host, restored } = hostWith({ [USER]: chain([user, ...OURS]) });
    await removeAccepts(host.run, await readEngineFirewall(host));
    assert.equal(restored.length, 1);
    assert.doesNotMatch(restored[0] ?? "", /10\.1\.1\.1/);
    assert.equal(restored[0]?.match(/-D DOCKER-USER/g)?.length, ACCEPT_RULES.length);
  });

  it("is led to again where FORWARD drops and was emptied, unless the Engine has done so meanwhile", async () => {
    const jump = [COUNTER, { jump: { target: "DOCKER-USER" } }];
    const of = (...rules: unknown[]) => ({
      [USER]: chain([...OURS, RETURN]),
      [FORWARD]: chain(rules, "drop"),
    });
    const whole = await readEngineFirewall(hostWith(of(jump)).host);
    assert.equal(missingWay(whole), undefined);
    const { host, restored } = hostWith(of([match("iifname", "eth1"), ...jump]));
    const emptied = await readEngineFirewall(host);
    assert.equal(missingWay(emptied), "-j DOCKER-USER");
    await leadToChain(host.run, emptied);
    assert.deepEqual(restored, ["iptables-nft: "]);
    const isNotThere: RunTool = async (tool, args, stdin) => ({
      ...(await host.run(tool, args, stdin)),
      status: args.includes("-C") ? 1 : 0,
    });
    await leadToChain(isNotThere, emptied);
    const insert = "iptables-nft-restore: *filter\n-I FORWARD -j DOCKER-USER\nCOMMIT\n";
    assert.deepEqual(restored.slice(1), ["iptables-nft: ", insert]);
    const open = hostWith({ [USER]: chain([RETURN]), [FORWARD]: chain([], "accept") });
    assert.equal(missingWay(await readEngineFirewall(open.host)), undefined);
  });

  it("is told apart from a host that drops without one", async () => {
    const drops = hostWith({ [FORWARD]: chain([], "drop") });
    const accepts = hostWith({ [FORWARD]: chain([], "accept") });
    assert.deepEqual(await readEngineFirewall(drops.host), { kind: "drops" });
    assert.deepEqual(await readEngineFirewall(accepts.host), { kind: "none" });
  });

  it("over IPv6 is whoever drops: accepted in FORWARD, as long as that is so, and taken out of there", async () => {
    const FORWARD6 = "chain ip6 filter FORWARD";
    const dropping = hostWith({ [FORWARD6]: chain([], "drop") });
    const firewall = await readEngineFirewall(dropping.host, "ip6tables");
    await acceptLinks(dropping.host.run, firewall, missingRules(firewall));
    const inserts = ACCEPT_RULES.map((rule) => `-I FORWARD ${rule}\n`).join("");
    assert.deepEqual(dropping.restored, [`ip6tables-nft-restore: *filter\n${inserts}COMMIT\n`]);
    const opened = hostWith({ [FORWARD6]: chain(OURS, "accept") });
    const left = await readEngineFirewall(opened.host, "ip6tables");
    assert.deepEqual(missingRules(left), []);
    await removeAccepts(opened.host.run, left);
    assert.equal(opened.restored[0]?.match(/-D FORWARD/g)?.length, ACCEPT_RULES.length);
    const open = hostWith({ [FORWARD6]: chain([], "accept") });
    assert.deepEqual(await readEngineFirewall(open.host, "ip6tables"), { kind: "none" });
    const engine = hostWith({
      [FORWARD6]: chain(OURS, "drop"),
      "chain ip6 filter DOCKER-USER": chain([RETURN]),
    });
    const minded = await readEngineFirewall(engine.host, "ip6tables");
    assert.deepEqual(missingRules(minded), ACCEPT_RULES);
  });

  it("is none where no such chain is", async () => {
    assert.deepEqual(await readEngineFirewall(hostWith({}).host), { kind: "none" });
  });
});
