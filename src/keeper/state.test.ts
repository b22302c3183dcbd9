import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { silentLogger } from "../base/logger.ts";
import { linkNames } from "./plugin/driver.ts";
import { decodePorts, decodeState, EMPTY_STATE, encodeState, type KeeperState } from "./state.ts";
import { loadState, saveState } from "./state-file.ts";

const anyID = fc.stringMatching(/^[0-9a-f]{64}$/);
const anyPort = fc.record({
  protocol: fc.constantFrom("tcp" as const, "udp" as const),
  port: fc.integer({ min: 1, max: 65_535 }),
});
const anyEndpoint = fc
  .tuple(anyID, anyID, fc.ipV4(), fc.boolean(), fc.boolean())
  .map(([networkID, endpointID, address, joined, bridged]) => ({
    networkID,
    endpointID,
    address,
    ...(bridged
      ? { link: linkNames(endpointID).port, vni: 4097, addressIPv6: "fd00::5" }
      : { link: linkNames(endpointID).link }),
    ...(joined
      ? { state: "joined" as const, sandboxKey: `/var/run/docker/netns/${networkID}` }
      : { state: "created" as const }),
    gateway: joined,
  }));
const anyState: fc.Arbitrary<KeeperState> = fc
  .tuple(fc.array(anyID), fc.array(anyEndpoint), fc.array(anyPort))
  .map(([networks, endpoints, ports]) => ({
    networks: new Map(networks.map((networkID) => [networkID, { networkID, mtu: 1450 }])),
    endpoints: new Map(endpoints.map((endpoint) => [endpoint.endpointID, endpoint])),
    ports: decodePorts({ ports }),
  }));

test("a state that was written is read as it was", () => {
  fc.assert(
    fc.property(anyState, (state) => {
      assert.deepEqual(decodeState(encodeState(state)), state);
    }),
  );
});

test("what a keeper wrote that knew no overlay networks is read", () => {
  const [networkID, endpointID] = ["0".repeat(64), "1".repeat(64)];
  const endpoint = { networkID, endpointID, address: "10.255.0.5", link: "wv111111111111" };
  const joined = { ...endpoint, state: "joined", gateway: true, sandboxKey: "/run/n" } as const;
  const written = { format: 1, networks: [{ networkID }], endpoints: [joined], ports: [] };
  const state = decodeState(JSON.stringify(written));
  assert.deepEqual(state.networks.get(networkID), { networkID });
  assert.deepEqual(state.endpoints.get(endpointID), joined);
  assert.throws(() => decodeState(JSON.stringify({ ...written, format: 3 })), /format 3/);
});

test("ports: each once, in order, whatever was asked; nonsense is refused", () => {
  const tcp = (port: unknown) => ({ protocol: "tcp", port });
  assert.deepEqual(decodePorts({ ports: [tcp(81), tcp(80), tcp(81)] }), [tcp(80), tcp(81)]);
  assert.deepEqual(decodePorts({}), []);
  for (const port of [0, 65_536, 1.5, "80", null]) {
    assert.throws(() => decodePorts({ ports: [tcp(port)] }), /whole number from 1 to 65535/);
  }
  assert.throws(() => decodePorts({ ports: [{ protocol: "sctp", port: 1 }] }), /sctp/);
});

test("the file holds what was saved last; one that cannot be read is set aside", async () => {
  const directory = await mkdtemp(join(tmpdir(), "weft-keeper-"));
  try {
    const path = join(directory, "keeper", "state.json");
    assert.deepEqual(await loadState(path, silentLogger), EMPTY_STATE);
    const state: KeeperState = { ...EMPTY_STATE, ports: [{ protocol: "tcp", port: 80 }] };
    await saveState(path, EMPTY_STATE);
    await saveState(path, state);
    assert.deepEqual(await loadState(path, silentLogger), state);
    await writeFile(path, '{"format":1,"netw');
    assert.deepEqual(await loadState(path, silentLogger), EMPTY_STATE);
    assert.equal(await readFile(`${path}.unreadable`, "utf8"), '{"format":1,"netw');
  } finally {
    await rm(directory, { recursive: true });
  }
});
