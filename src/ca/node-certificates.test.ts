import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { ClusterID, NodeID } from "../base/ids.ts";
import { newKeyAndRequest } from "./certificate-request.ts";
import { invalidityMessage, NodeCertificates } from "./node-certificates.ts";
import { createRootCA, RootCA } from "./root-ca.ts";

const identity = {
  nodeID: "node1" as NodeID,
  clusterID: "cluster1" as ClusterID,
  role: "worker",
} as const;

async function setUp(context: TestContext) {
  const directory = join(mkdtempSync(join(tmpdir(), "weft-certificates-")), "certificates");
  context.after(() => rmSync(join(directory, ".."), { recursive: true }));
  const ca = new RootCA(await createRootCA(Date.now()));
  const issue = async () => {
    const { key, request } = newKeyAndRequest();
    const init = { request, identity, validityMs: 3_600_000, now: Date.now() };
    return { key, certificate: await ca.issue(init), rootCertificate: ca.certificate };
  };
  return { directory, issue };
}

test("what is created is loaded again; the key is its owner's only", async (context) => {
  const { directory, issue } = await setUp(context);
  assert.equal(NodeCertificates.load(directory), undefined);
  const material = await issue();
  await NodeCertificates.create(directory, material);
  const loaded = NodeCertificates.load(directory);
  assert.deepEqual(loaded?.material, material);
  assert.deepEqual(loaded?.identity, identity);
  assert.equal(statSync(join(directory, "swarm-node.key")).mode & 0o777, 0o600);
  NodeCertificates.remove(directory);
  assert.equal(NodeCertificates.load(directory), undefined);
});

test("a crash at any point of a renewal leaves a pair that belongs together", async (context) => {
  const { directory, issue } = await setUp(context);
  const [old, next] = [await issue(), await issue()];
  await NodeCertificates.create(directory, old);
  const file = (name: string) => join(directory, name);

  // The new key is there, the certificate is still the old one.
  writeFileSync(file("swarm-node.key.next"), next.key);
  assert.equal(NodeCertificates.load(directory)?.material.key, old.key);
  assert.ok(!existsSync(file("swarm-node.key.next")));

  // The certificate is the new one, the key not yet renamed.
  writeFileSync(file("swarm-node.key.next"), next.key);
  writeFileSync(file("swarm-node.crt"), next.certificate);
  assert.equal(NodeCertificates.load(directory)?.material.key, next.key);
  assert.equal(readFileSync(file("swarm-node.key"), "utf8"), next.key);
});

test("renewal replaces both files and tells who listens", async (context) => {
  const { directory, issue } = await setUp(context);
  const certificates = await NodeCertificates.create(directory, await issue());
  let told = 0;
  certificates.onChanged(() => told++);
  const next = await issue();
  await certificates.renew(next.key, next.certificate);
  assert.equal(told, 1);
  assert.deepEqual(NodeCertificates.load(directory)?.material, next);
});

test("a key that is another certificate's is refused in plain words", async (context) => {
  const { directory, issue } = await setUp(context);
  const [one, other] = [await issue(), await issue()];
  await assert.rejects(NodeCertificates.create(directory, { ...one, key: other.key }), {
    message: /do not belong together/,
  });
  assert.equal(NodeCertificates.load(directory), undefined);
});

test("an expired certificate names its cause and its cure, a valid one nothing", async (context) => {
  const { directory, issue } = await setUp(context);
  const certificates = await NodeCertificates.create(directory, await issue());
  const { notBefore, notAfter } = certificates.validity;
  const early = invalidityMessage(certificates, notBefore - 1);
  assert.match(early, new RegExp(`not valid before ${new Date(notBefore).toISOString()}.* clock`));
  assert.equal(invalidityMessage(certificates, notBefore), "");
  assert.equal(invalidityMessage(certificates, notAfter - 1), "");
  const message = invalidityMessage(certificates, notAfter);
  assert.match(message, new RegExp(`expired at ${new Date(notAfter).toISOString()}`));
  assert.match(
    message,
    /"docker swarm leave" here and "docker node rm node1" on a manager, then join/,
  );
});
