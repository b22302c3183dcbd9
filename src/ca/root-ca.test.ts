import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { ClusterID, NodeID } from "../base/ids.ts";
import { newKeyAndRequest } from "./certificate-request.ts";
import { identityOfCertificate, type NodeIdentity } from "./identity.ts";
import { createRootCA, RootCA } from "./root-ca.ts";

const NOW = Date.UTC(2026, 0, 1, 12);
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const identity: NodeIdentity = {
  nodeID: "node1" as NodeID,
  clusterID: "cluster1" as ClusterID,
  role: "worker",
};

test("the root is as Docker's: its name, twenty years, and nothing but signing", async () => {
  const { certificate, key } = await createRootCA(NOW);
  const root = new X509Certificate(certificate);
  assert.equal(root.subject, "CN=swarm-ca");
  assert.equal(root.issuer, "CN=swarm-ca");
  assert.ok(root.ca);
  assert.ok(root.verify(root.publicKey));
  assert.equal(root.publicKey.asymmetricKeyDetails?.namedCurve, "prime256v1");
  assert.equal(Date.parse(root.validTo) - Date.parse(root.validFrom), 7_300 * DAY_MS);
  assert.match(key, /^-----BEGIN PRIVATE KEY-----/);
});

test("a node's certificate says who it is, what it may do, and for how long", async () => {
  const ca = new RootCA(await createRootCA(NOW));
  for (const role of ["worker", "manager"] as const) {
    const { request, key } = newKeyAndRequest();
    const who = { ...identity, role };
    const pem = await ca.issue({ request, identity: who, validityMs: 90 * DAY_MS, now: NOW });
    const leaf = new X509Certificate(pem);
    assert.deepEqual(identityOfCertificate(pem), who);
    assert.equal(leaf.subject, `O=cluster1\nOU=swarm-${role}\nCN=node1`);
    assert.equal(Date.parse(leaf.validFrom), NOW - HOUR_MS);
    assert.equal(Date.parse(leaf.validTo), NOW + 90 * DAY_MS);
    const ours = `DNS:swarm-${role}, DNS:node1`;
    assert.equal(leaf.subjectAltName, role === "manager" ? `${ours}, DNS:swarm-ca` : ours);
    assert.ok(leaf.checkIssued(new X509Certificate(ca.certificate)));
    assert.ok(!leaf.ca);
    assert.match(key, /^-----BEGIN PRIVATE KEY-----/);
  }
});

test("OpenSSL takes the chain and the request for what they are", async (context) => {
  const directory = mkdtempSync(join(tmpdir(), "weft-ca-"));
  context.after(() => rmSync(directory, { recursive: true }));
  const openssl = (...args: string[]) =>
    execFileSync("openssl", args, { cwd: directory, encoding: "utf8", stdio: "pipe" });
  const now = Date.now();
  const ca = new RootCA(await createRootCA(now));
  const { request } = newKeyAndRequest();
  const leaf = await ca.issue({ request, identity, validityMs: DAY_MS, now });
  writeFileSync(join(directory, "root.crt"), ca.certificate);
  writeFileSync(join(directory, "leaf.crt"), leaf);
  writeFileSync(join(directory, "node.csr"), request);
  assert.equal(
    openssl("verify", "-x509_strict", "-CAfile", "root.crt", "leaf.crt"),
    "leaf.crt: OK\n",
  );
  openssl("req", "-in", "node.csr", "-verify", "-noout");
  const text = openssl("x509", "-in", "root.crt", "-noout", "-ext", "keyUsage,basicConstraints");
  assert.match(text, /Key Usage: critical\n\s+Certificate Sign, CRL Sign/);
  assert.match(text, /Basic Constraints: critical\n\s+CA:TRUE/);
});

test("a request that is no request, or whose key is not the asker's, gets nothing", async () => {
  const ca = new RootCA(await createRootCA(NOW));
  const { request } = newKeyAndRequest();
  const lines = request.split("\n");
  // A digit of the signature changed.
  const last = lines.length - 3;
  const line = lines[last] ?? "";
  lines[last] = `${line.startsWith("A") ? "B" : "A"}${line.slice(1)}`;
  for (const bad of ["", "nonsense", "x".repeat(10_000), lines.join("\n")]) {
    const issuing = ca.issue({ request: bad, identity, validityMs: DAY_MS, now: NOW });
    await assert.rejects(issuing, { code: "invalid_parameter" });
  }
});

test("a key that is not the root's is refused when the CA is opened", async () => {
  const [one, other] = [await createRootCA(NOW), await createRootCA(NOW)];
  assert.throws(() => new RootCA({ certificate: one.certificate, key: other.key }));
});
