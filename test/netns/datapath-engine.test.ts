/** Beside a real Engine with its defaults: its chain takes our rules, keeps them or gets them again, and reads on. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { ACCEPT_RULES } from "../../src/datapath/engine-firewall.ts";
import type { MeshView } from "../../src/datapath/view.ts";
import type { Host } from "../../src/lab/host.ts";
import { Lab } from "../../src/lab/lab.ts";
import { labUnavailable } from "../../src/lab/requirements.ts";
import { viewToJSON } from "./datapath/view-json.ts";

const DAEMON = join(import.meta.dirname, "datapath", "daemon.ts");
const MEMO = "/run/weft-datapath-test.json";

describe("beside an Engine", { skip: (await labUnavailable()) ?? false }, () => {
  it("its FORWARD chain lets the mesh through, also after its restart", async () => {
    await using lab = await Lab.create({ hosts: 1, clients: 0 });
    const host = lab.host(1);
    const before = await host.execOk(["iptables", "-S"]);
    assert.match(before, /^-P FORWARD DROP/m);

    await tell(host, { call: "apply", view: viewToJSON(viewOf(host)) });
    assert.deepEqual(await missing(host), []);

    await host.restartEngine();
    await tell(host, { call: "apply", view: viewToJSON(viewOf(host)) }, { call: "audit" });
    assert.deepEqual(await missing(host), []);
    const rules = await host.execOk(["iptables", "-S", "DOCKER-USER"]);
    assert.match(rules.trim().split("\n").at(-1) ?? "", /-j RETURN$/);

    await tell(host, { call: "reset" });
    const after = await host.execOk(["iptables", "-S"]);
    assert.equal(after, before);
  });
});

/** Which of the accepting rules the Engine's chain lacks. */
async function missing(host: Host): Promise<string[]> {
  const listed = await host.execOk(["iptables", "-S", "DOCKER-USER"]);
  return ACCEPT_RULES.filter((rule) => !listed.includes(`-A DOCKER-USER ${rule}`));
}

/** Runs these calls in a daemon of their own on the host, one after the other. */
async function tell(host: Host, ...calls: readonly unknown[]): Promise<void> {
  const stdin = calls.map((call) => `${JSON.stringify(call)}\n`).join("");
  const printed = await host.execOk([process.execPath, DAEMON, MEMO], { stdin });
  assert.doesNotMatch(printed, /"error"/);
}

function viewOf(host: Host): MeshView {
  return {
    revision: 1,
    self: {
      nodeID: host.name,
      index: 1,
      underlayAddress: host.ip,
      overlayAddress: "10.255.0.2",
      addresses: [host.ip],
    },
    peers: [],
    subnet: "10.255.0.0/16",
    vni: 4096,
    dataPathPort: 4789,
    services: [],
    networks: [],
    hostPorts: [],
    localLinks: [],
    overlayLinks: [],
    heldPorts: new Set(),
  };
}
