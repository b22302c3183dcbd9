/** The lab itself: what every other test in it rests on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAnswer } from "../../src/lab/images.ts";
import { Lab } from "../../src/lab/lab.ts";
import { labUnavailable } from "../../src/lab/requirements.ts";

const skip = (await labUnavailable()) ?? false;

test("three hosts have their own name, addresses and Engine", { skip }, async () => {
  await using lab = await Lab.create({ hosts: 3, clients: 1 });
  for (const [index, host] of lab.hosts.entries()) {
    assert.equal((await host.execOk(["hostname"])).trim(), `n${index + 1}`);
    assert.equal(host.ip, `192.168.99.${100 + index}`);
    const info = (await host.engineJson(["info", "--format", "{{json .}}"])) as Record<
      string,
      unknown
    >;
    assert.equal(info["Name"], host.name);
    assert.equal(info["Driver"], "overlay2");
    assert.match(await host.execOk(["iptables", "-S", "FORWARD"]), /^-P FORWARD DROP$/m);
  }
  const [n1, n2] = [lab.host(1), lab.host(2)];
  for (const address of [n2.ip, n2.ipv6, n2.name])
    await n1.execOk(["busybox", "ping", "-c1", "-W1", address]);
  await lab.client().execOk(["busybox", "ping", "-c1", "-W1", n1.ip]);
});

test("containers run from the lab's images and are reached over the LAN", { skip }, async () => {
  await using lab = await Lab.create({ hosts: 1, clients: 1, images: ["nginx", "busybox"] });
  const [host, client] = [lab.host(1), lab.client()];
  const id = await host.engineOk(["run", "-d", "-p", "8080:80", "nginx"]);
  const answer = parseAnswer(await client.execOk(["curl", "-sS", `http://${host.ip}:8080/`]));
  assert.equal(answer.task, id.slice(0, 12));
  assert.equal(answer.client, client.ip);
  assert.equal((await host.engineOk(["run", "--rm", "busybox", "echo", "hello"])).trim(), "hello");
});
