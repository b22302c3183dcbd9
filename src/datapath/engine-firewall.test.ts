import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { SystemError } from "../base/errors.ts";
import {
  ACCEPT_RULES,
  acceptLinks,
  missingRules,
  readEngineFirewall,
  removeAccepts,
} from "./engine-firewall.ts";
import type { RunTool } from "./run.ts";

/** A host with these chains in iptables, as `iptables -S` prints them; records what is restored. */
function hostWith(chains: Readonly<Record<string, string>>) {
  const restored: string[] = [];
  const run: RunTool = async (tool, args, stdin = "") => {
    if (tool.endsWith("-restore")) restored.push(`${tool}: ${stdin}`);
    const stdout = chains[args.at(-1) ?? ""];
    return {
      status: stdout === undefined && args.includes("-S") ? 1 : 0,
      stdout: stdout ?? "",
      stderr: "",
    };
  };
  return { run, restored };
}

const OURS = ACCEPT_RULES.map((rule) => `-A DOCKER-USER ${rule}\n`).join("");

describe("the Engine's firewall", () => {
  it("is given the rules that it lacks, before its own RETURN", async () => {
    const { run, restored } = hostWith({
      "DOCKER-USER": "-N DOCKER-USER\n-A DOCKER-USER -j RETURN\n",
    });
    const firewall = await readEngineFirewall(run);
    await acceptLinks(run, firewall, missingRules(firewall));
    const inserts = ACCEPT_RULES.map((rule) => `-I DOCKER-USER ${rule}\n`).join("");
    assert.deepEqual(restored, [`iptables-nft-restore: *filter\n${inserts}COMMIT\n`]);
  });

  it("is left alone when it has them", async () => {
    const { run, restored } = hostWith({ "DOCKER-USER": `-N DOCKER-USER\n${OURS}` });
    const firewall = await readEngineFirewall(run);
    await acceptLinks(run, firewall, missingRules(firewall));
    assert.deepEqual(restored, []);
  });

  it("gets rid of ours at a reset, and keeps the user's", async () => {
    const listing = `-N DOCKER-USER\n-A DOCKER-USER -s 10.1.1.1/32 -j DROP\n${OURS}`;
    const { run, restored } = hostWith({ "DOCKER-USER": listing });
    await removeAccepts(run, await readEngineFirewall(run));
    assert.equal(restored.length, 1);
    assert.doesNotMatch(restored[0] ?? "", /10\.1\.1\.1/);
    assert.equal(restored[0]?.match(/-D DOCKER-USER/g)?.length, ACCEPT_RULES.length);
  });

  it("is told apart from a host that drops without one", async () => {
    const drops = hostWith({ FORWARD: "-P FORWARD DROP\n" });
    const accepts = hostWith({ FORWARD: "-P FORWARD ACCEPT\n" });
    assert.deepEqual(await readEngineFirewall(drops.run), { kind: "drops" });
    assert.deepEqual(await readEngineFirewall(accepts.run), { kind: "none" });
  });

  it("is none where there is no iptables", async () => {
    const run: RunTool = async () => {
      throw new SystemError("cannot run iptables-nft");
    };
    assert.deepEqual(await readEngineFirewall(run), { kind: "none" });
  });
});
