import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ChannelCredentials } from "@grpc/grpc-js";
import { systemClock } from "../base/clock.ts";
import type { ClusterID } from "../base/ids.ts";
import { newKeyAndRequest } from "../ca/certificate-request.ts";
import { memberCredentials } from "../ca/client.ts";
import { createClusterCA } from "../ca/cluster-ca.ts";
import type { NodeIdentity } from "../ca/identity.ts";
import type { RootCA } from "../ca/root-ca.ts";
import { createMemoryStore } from "../cluster/open-store.ts";
import { AgentFrameSchema, Dispatcher as DispatcherService } from "./gen/weft_pb.ts";
import { describeHost, eventually, LoopbackCluster } from "./loopback-cluster.ts";
import { RpcClient } from "./rpc.ts";
import { encodeDescription } from "./wire-objects.ts";

const HOUR_MS = 3_600_000;

/** How a session that begins with these credentials ends; "welcome" when it does not. */
async function tryStream(
  addr: string,
  credentials: ChannelCredentials,
  advertiseAddr = "",
): Promise<string> {
  const client = new RpcClient({ addr, credentials, serverName: "swarm-manager" });
  const stream = client.duplex(DispatcherService.method.session);
  try {
    return await new Promise<string>((resolve) => {
      stream.on("data", ({ kind }) => resolve(kind.case ?? ""));
      stream.on("error", (error) => resolve(client.error(error).message));
      const value = { description: encodeDescription(describeHost("x")), advertiseAddr };
      stream.write(create(AgentFrameSchema, { kind: { case: "hello", value } }));
    });
  } finally {
    stream.cancel();
    client.close();
  }
}

async function credentialsFrom(
  cluster: LoopbackCluster,
  ca: RootCA,
  init: { readonly identity: NodeIdentity; readonly now?: number },
): Promise<ChannelCredentials> {
  const { key, request } = newKeyAndRequest();
  const now = init.now ?? Date.now();
  const certificate = await ca.issue({
    request,
    identity: init.identity,
    validityMs: HOUR_MS,
    now,
  });
  return memberCredentials({ key, certificate, rootCertificate: cluster.rootCA.certificate });
}

test("a caller without certificate gets no session", async () => {
  await using cluster = await LoopbackCluster.start();
  const root = Buffer.from(cluster.rootCA.certificate);
  assert.equal(
    await tryStream(cluster.addr, ChannelCredentials.createSsl(root)),
    "rpc error: code = Unauthenticated desc = a certificate of this cluster is needed for this call",
  );
});

test("a certificate of another CA is cut off, and the log says why", async () => {
  await using cluster = await LoopbackCluster.start();
  const { rootCA } = await createClusterCA(createMemoryStore(), systemClock);
  const { identity } = await cluster.join("n1");
  const credentials = await credentialsFrom(cluster, rootCA, { identity });
  assert.match(await tryStream(cluster.addr, credentials), /code = Unavailable/);
  const line = await eventually("logged", () =>
    cluster.logged.find((line) => line.includes("certificate refused")),
  );
  assert.match(line, /UNABLE_TO_VERIFY_LEAF_SIGNATURE|SELF_SIGNED|UNABLE_TO_GET_ISSUER/);
});

test("an expired certificate is cut off, and the log says why", async () => {
  await using cluster = await LoopbackCluster.start();
  const { identity } = await cluster.join("n1");
  const now = Date.now() - 2 * HOUR_MS;
  const credentials = await credentialsFrom(cluster, cluster.rootCA, { identity, now });
  assert.match(await tryStream(cluster.addr, credentials), /code = Unavailable/);
  const line = await eventually("logged", () =>
    cluster.logged.find((line) => line.includes("certificate refused")),
  );
  assert.match(line, /CERT_HAS_EXPIRED/);
});

test("a certificate for another cluster, or for nobody, is told so", async () => {
  await using cluster = await LoopbackCluster.start();
  const { identity } = await cluster.join("n1");
  const clusterID = "another" as ClusterID;
  const another = { ...identity, clusterID };
  const credentials = await credentialsFrom(cluster, cluster.rootCA, { identity: another });
  assert.equal(await tryStream(cluster.addr, credentials), "removed");
  const good = await credentialsFrom(cluster, cluster.rootCA, { identity });
  assert.equal(await tryStream(cluster.addr, good), "welcome");
});

test("a member that calls something else than an address its own gets no session", async () => {
  await using cluster = await LoopbackCluster.start();
  const { identity } = await cluster.join("n1");
  const credentials = await credentialsFrom(cluster, cluster.rootCA, { identity });
  for (const hostile of [
    "192.168.99.7 } ; flush ruleset #",
    "192.168.99.7\nlink del eth0",
    "fe80::7",
    "fd00::7%eth0",
  ])
    assert.match(await tryStream(cluster.addr, credentials, hostile), /invalid advertised address/);
  assert.equal(cluster.store.view().get("node", identity.nodeID)?.status.addr, "127.0.0.1");
  assert.equal(await tryStream(cluster.addr, credentials, "192.168.99.7"), "welcome");
});

test("a port that is taken is said in plain words", async () => {
  await using cluster = await LoopbackCluster.start();
  const { ManagerServer } = await import("./manager-server.ts");
  const { NodeCA } = await import("../ca/node-ca.ts");
  const { store, certificates, log, dispatcher } = cluster;
  const nodeCA = new NodeCA({ store, clock: systemClock, log });
  const port = Number(cluster.addr.split(":")[1]);
  const components = { dispatcher, nodeCA, certificates, log };
  const second = new ManagerServer(components, { host: "127.0.0.1", port });
  await assert.rejects(second.start(), { message: /cannot listen on 127\.0\.0\.1:.*EADDRINUSE/ });
});
