/** `weft reset --force`: a host as it was before Weft came. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Lab } from "../../src/lab/lab.ts";
import { labUnavailable } from "../../src/lab/requirements.ts";
import { Swarm, weft } from "./support/swarm.ts";
import { assertSameTraces, difference, everythingOf } from "./support/traces.ts";

const skip = (await labUnavailable()) ?? false;

test("weft reset --force takes every trace of Weft off a host", { skip }, async () => {
  const lab = await Lab.create({ hosts: 2, images: ["nginx", "dns-cache"] });
  await using swarm = new Swarm(lab);
  // What the Engine sets up at its first container is not Weft's.
  await Promise.all(
    lab.hosts.map((host) => host.engineOk(["run", "--rm", "nginx", "nginx", "-v"])),
  );
  const before = await Promise.all(lab.hosts.map((host) => everythingOf(host)));
  await Promise.all(lab.hosts.map((host) => host.startDaemon()));
  await swarm.form();
  await Promise.all([
    swarm.create("web", "-p", "8080:80", "--replicas", "4", "nginx"),
    swarm.create("dns", "-p", "53:53", "-p", "53:53/udp", "--mode", "global", "dns-cache"),
    swarm.create("direct", "--publish", "published=81,target=80,mode=host", "nginx"),
  ]);
  await swarm.answering(8080);
  for (const [index, host] of lab.hosts.entries()) {
    const there = difference(before[index] ?? {}, await everythingOf(host));
    for (const what of ["rules", "links", "listeners", "containers", "networks", "files"]) {
      assert.ok(there[what], `Weft is seen in the ${what} of ${host.name}`);
    }
  }

  const unforced = await weft(lab.host(2), "reset");
  assert.notEqual(unforced.code, 0);
  assert.match(unforced.stderr, /--force/);
  await swarm.answering(8080);

  for (const host of [lab.host(2), lab.host(1)]) {
    await host.stopDaemon();
    const { code, stderr } = await weft(host, "reset", "--force");
    assert.equal(code, 0, stderr);
  }
  for (const [index, host] of lab.hosts.entries()) {
    assertSameTraces(host, before[index] ?? {}, await everythingOf(host));
    const again = await weft(host, "reset", "--force");
    assert.equal(again.code, 0, `a second reset finds nothing to do: ${again.stderr}`);
  }

  // A host that was reset is one that Weft can come to.
  await Promise.all(lab.hosts.map((host) => host.startDaemon()));
  await swarm.form();
  await swarm.create("web", "-p", "8080:80", "nginx");
  await swarm.answering(8080);
});
