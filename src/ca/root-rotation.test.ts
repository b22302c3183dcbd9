import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { systemClock } from "../base/clock.ts";
import { systemRandom } from "../base/random.ts";
import {
  endpointState,
  eventually,
  type LoopbackAgent,
  LoopbackCluster,
  publish,
} from "../dispatcher/loopback-cluster.ts";
import { CertificateRenewer } from "./certificate-renewer.ts";
import { parseJoinToken, rootDigest } from "./join-token.ts";
import { NodeCertificates } from "./node-certificates.ts";
import { type RootChange, RootRotator } from "./root-rotation.ts";
import { issuerOf } from "./tls-info.ts";

const KEEP: RootChange = { forceRotate: 0, signingCACert: "", signingCAKey: "" };

/** A cluster whose manager's own node takes part as the others do. */
async function rotatable(context: TestContext) {
  const cluster = await LoopbackCluster.start();
  const rotator = new RootRotator({ store: cluster.store, clock: systemClock, log: cluster.log });
  rotator.start();
  const renewers: CertificateRenewer[] = [];
  const startNode = (certificates: NodeCertificates): LoopbackAgent => {
    const renewer = new CertificateRenewer({
      certificates,
      managers: () => [cluster.addr],
      clock: systemClock,
      random: systemRandom,
      log: cluster.log,
    });
    renewer.start();
    renewers.push(renewer);
    return cluster.startAgentWith(certificates, {
      onTrust: ({ roots, issuer, renewWithinMs }) => {
        certificates.trust(roots);
        renewer.requireIssuer(issuer, renewWithinMs);
      },
    });
  };
  context.after(async () => {
    for (const renewer of renewers) await renewer.stop();
    await rotator.stop();
    await cluster[Symbol.asyncDispose]();
  });
  startNode(cluster.certificates);
  const rotate = (asked: Partial<RootChange>) =>
    rotator.change({ ...KEEP, ...asked }, (plan) =>
      cluster.store.update((tx) => {
        const { rootRotation: _before, ...rest } = cluster.cluster;
        const caConfig = { ...rest.spec.caConfig, forceRotate: asked.forceRotate ?? 0 };
        tx.put("cluster", { ...rest, ...plan, spec: { ...rest.spec, caConfig } });
      }),
    );
  const isOver = (root: string) => () =>
    cluster.cluster.rootRotation === undefined && cluster.cluster.rootCACertificate === root;
  return { cluster, rotator, rotate, startNode, isOver };
}

/** The root that the nodes turn to; empty where they turn to none. */
const nextRoot = (cluster: LoopbackCluster): string =>
  cluster.cluster.rootRotation?.certificate ?? "";
const keysOf = (cluster: LoopbackCluster) =>
  (cluster.store.secrets.get("ca-key") ?? "").split("-----BEGIN").length - 1;

test("every node turns to the new root while its session and its endpoints stay", async (context) => {
  const { cluster, rotate, startNode } = await rotatable(context);
  const agents = [startNode(await cluster.join("n1")), startNode(await cluster.join("n2"))];
  await eventually("sessions", () => agents.every(({ mesh }) => mesh !== undefined));
  await publish(cluster, agents);
  const before = cluster.cluster;
  await rotate({ forceRotate: 1 });
  assert.notEqual(nextRoot(cluster), "");
  await eventually("rotated", () => cluster.cluster.rootRotation === undefined);
  const { rootCACertificate, joinTokens } = cluster.cluster;
  assert.notEqual(rootCACertificate, before.rootCACertificate);
  for (const role of ["worker", "manager"] as const) {
    assert.equal(parseJoinToken(joinTokens[role]).digest, rootDigest(rootCACertificate));
    assert.notEqual(joinTokens[role], before.joinTokens[role]);
  }
  assert.equal(keysOf(cluster), 1);
  for (const certificates of [cluster.certificates, ...agents.map((agent) => agent.certificates)]) {
    await eventually(
      "the old root is forgotten",
      () => certificates.material.rootCertificate === rootCACertificate,
    );
    const leaf = new X509Certificate(certificates.material.certificate);
    assert.ok(leaf.verify(new X509Certificate(rootCACertificate).publicKey));
    assert.deepEqual(
      NodeCertificates.load(certificates.directory)?.material,
      certificates.material,
    );
  }
  for (const agent of agents) {
    assert.equal(endpointState(agent), "live");
    assert.ok(!agent.logged.some((line) => line.includes("session lost")), agent.logged.join(""));
  }
  // Who joins now, and who comes back, finds the cluster as before.
  await assert.rejects(cluster.join("n3", "worker", before.joinTokens.worker), {
    message: /remote CA does not match fingerprint/,
  });
  await cluster.join("n4");
  await cluster.stopManager();
  await cluster.startManager();
  await eventually("sessions again", () => cluster.dispatcher.sessions === 3);
});

test("a node that is away is waited for, and comes back with what it has", async (context) => {
  const { cluster, rotate, startNode, isOver } = await rotatable(context);
  const away = await cluster.join("away");
  const here = startNode(await cluster.join("here"));
  await eventually("session", () => here.mesh !== undefined);
  const { rootCACertificate: old, joinTokens } = cluster.cluster;
  await rotate({ forceRotate: 1 });
  const next = nextRoot(cluster);
  const issuer = issuerOf(next).certIssuerPublicKey;
  await eventually("who is here has turned", () => {
    const node = cluster.store.view().get("node", here.nodeID);
    return node?.description?.tlsInfo?.certIssuerPublicKey === issuer;
  });
  assert.equal(cluster.cluster.rootCACertificate, old);
  assert.equal(here.certificates.material.rootCertificate, old + next, "both are trusted");
  assert.deepEqual(cluster.cluster.joinTokens, joinTokens, "tokens name the old root still");
  // A manager that starts in the midst of it goes on with it; a node may join.
  await cluster.stopManager();
  await cluster.startManager();
  const late = startNode(await cluster.join("late"));
  await eventually("the late one's session", () => late.mesh !== undefined);
  assert.ok(cluster.cluster.rootRotation !== undefined);
  const back = startNode(away);
  await eventually("rotated", isOver(next));
  assert.ok(back.mesh !== undefined);
});

test("a node that is removed is waited for no longer, and its old certificate is worth nothing", async (context) => {
  const { cluster, rotate, startNode, isOver } = await rotatable(context);
  const gone = await cluster.join("gone");
  await rotate({ forceRotate: 1 });
  const next = nextRoot(cluster);
  await cluster.store.update((tx) => tx.delete("node", gone.identity.nodeID));
  await eventually("rotated", isOver(next));
  await eventually(
    "the manager trusts the new root alone",
    () => cluster.certificates.material.rootCertificate === next,
  );
  const stranger = startNode(gone);
  await eventually("refused", () =>
    cluster.logged.some((line) => line.includes("certificate refused")),
  );
  assert.equal(stranger.mesh, undefined);
});

test("a rotation that is begun again goes to the newest root, and back when that is asked", async (context) => {
  const { cluster, rotate, startNode, isOver } = await rotatable(context);
  const away = await cluster.join("away");
  const here = startNode(await cluster.join("here"));
  await eventually("session", () => here.mesh !== undefined);
  const issuedBy = (root: string) => () =>
    here.certificates.tlsInfo.certIssuerPublicKey === issuerOf(root).certIssuerPublicKey;
  const first = cluster.cluster.rootCACertificate;
  const firstKey = cluster.store.secrets.get("ca-key") ?? "";
  for (const forceRotate of [1, 2]) {
    await rotate({ forceRotate });
    await eventually("turned", issuedBy(nextRoot(cluster)));
  }
  const second = nextRoot(cluster);
  await rotate({ forceRotate: 2 });
  assert.equal(cluster.cluster.rootRotation?.certificate, second, "nothing new was asked");
  await rotate({ forceRotate: 3, signingCACert: first, signingCAKey: firstKey });
  assert.equal(nextRoot(cluster), "");
  await eventually("turned back", issuedBy(first));
  assert.equal(here.certificates.material.rootCertificate, first);
  await eventually("keys of roots that came to nothing are forgotten", () => keysOf(cluster) === 1);
  startNode(away);
  await rotate({ forceRotate: 4 });
  await eventually("rotated at last", isOver(nextRoot(cluster)));
});

const OWN_ROOTS = {
  rsa: ["-newkey", "rsa:2048"],
  "P-384, with a name of its own": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp384r1"],
};

for (const [name, keyOptions] of Object.entries(OWN_ROOTS)) {
  test(`a root of the user's own: ${name}`, async (context) => {
    const { cluster, rotate, startNode, isOver } = await rotatable(context);
    const agent = startNode(await cluster.join("n1"));
    await eventually("session", () => agent.mesh !== undefined);
    const own = ownRoot(context, keyOptions);
    await rotate({ forceRotate: 1, signingCACert: own.certificate, signingCAKey: own.key });
    await eventually("rotated", isOver(own.certificate));
    await rotate({ forceRotate: 2 });
    await eventually("and on to one of the cluster's", isOver(nextRoot(cluster)));
    assert.ok(!agent.logged.some((line) => line.includes("session lost")));
  });
}

test("a root that will not do is refused, and nothing has changed", async (context) => {
  const { cluster, rotate } = await rotatable(context);
  // Not to be over before it is looked at.
  await cluster.join("away");
  const own = ownRoot(context, ["-newkey", "rsa:2048"]);
  const other = ownRoot(context, ["-newkey", "rsa:2048"]);
  const short = ownRoot(context, ["-newkey", "rsa:2048", "-days", "30"]);
  const leaf = ownRoot(context, [
    "-newkey",
    "rsa:2048",
    "-addext",
    "basicConstraints=critical,CA:FALSE",
  ]);
  const weak = ownRoot(context, ["-newkey", "rsa:1024"]);
  const before = cluster.cluster;
  const keys = cluster.store.secrets.get("ca-key");
  for (const [signingCACert, signingCAKey, message] of [
    ["", own.key, /the signing CA cert must also be provided/],
    [own.certificate, "", /at least one valid, reachable external CA/],
    ["nonsense", own.key, /invalid root certificates: .*Failed to parse certificate/],
    [own.certificate + other.certificate, own.key, /cannot contain multiple certificates/],
    [own.certificate, other.key, /certificate key mismatch/],
    [own.certificate, "nonsense", /malformed private key/],
    [short.certificate, short.key, /expires too soon/],
    [leaf.certificate, leaf.key, /no certificate authority's/],
    [weak.certificate, weak.key, /ECDSA .* or RSA with 2048 bits or more, not rsa 1024/],
  ] as const) {
    await assert.rejects(rotate({ forceRotate: 1, signingCACert, signingCAKey }), {
      code: "invalid_parameter",
      message,
    });
  }
  assert.equal(cluster.cluster, before);
  assert.equal(cluster.store.secrets.get("ca-key"), keys);
});

/** What a user makes with OpenSSL. */
function ownRoot(context: TestContext, options: readonly string[]) {
  const directory = mkdtempSync(join(tmpdir(), "weft-own-root-"));
  context.after(() => rmSync(directory, { recursive: true }));
  const named = ["-subj", "/O=Example/CN=own root", "-keyout", "ca.key", "-out", "ca.crt"];
  const days = options.includes("-days") ? [] : ["-days", "3650"];
  execFileSync("openssl", ["req", "-x509", "-nodes", ...named, ...days, ...options], {
    cwd: directory,
    stdio: "pipe",
  });
  const read = (file: string) => readFileSync(join(directory, file), "utf8");
  return { certificate: read("ca.crt"), key: read("ca.key") };
}
