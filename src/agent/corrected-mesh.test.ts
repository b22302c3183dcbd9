import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { OverlayEndpoint, OverlayNetwork } from "../datapath/overlay/view.ts";
import type { MeshConfig, ToldEndpoint, ToldService } from "../dispatcher/assignment.ts";
import { ENDPOINT_WORDS } from "../gossip/endpoint-news.ts";
import { correctedMesh, type EndpointOverride } from "./corrected-mesh.ts";

type State = ToldEndpoint["state"];

const service = (states: Readonly<Record<string, State>>): ToldService => ({
  ...{ serviceID: "web", serviceName: "web", ports: [] },
  endpoints: Object.entries(states).map(([taskID, state], index) => ({
    ...{ taskID, address: `10.255.0.${index + 9}`, nodeIndex: 1, state },
  })),
});
const network = (states: Readonly<Record<string, State>>): OverlayNetwork => ({
  ...{ networkID: "o1", name: "back", vni: 4_097, subnets: ["10.0.9.0/24"], internal: false },
  containers: [],
  services: [
    {
      ...{ serviceID: "web", serviceName: "web", aliases: [], virtualIPs: ["10.0.9.2"] },
      endpoints: Object.entries(states).map(
        ([taskID, state], index): OverlayEndpoint => ({
          ...{ taskID, taskName: taskID, aliases: [], addresses: [`10.0.9.${10 + index}`] },
          ...{ nodeIndex: 1, state },
        }),
      ),
    },
  ],
});
const mesh = (states: Readonly<Record<string, State>>): MeshConfig => ({
  ...{ revision: 5, nodes: [], services: [service(states)], networks: [network(states)] },
});
const said = (words: Readonly<Record<string, EndpointOverride["word"]>>) =>
  new Map(Object.entries(words).map(([taskID, word]) => [taskID, { word }]));
const states = (endpoints: readonly { taskID: string; state: string }[] = []) =>
  endpoints.map(({ taskID, state }) => `${taskID} ${state}`);

test("what nodes say of their endpoints counts, and makes ready only what managers know to start", () => {
  const told = mesh({ a: "live", b: "live", c: "starting", d: "starting", e: "draining" });
  const corrected = correctedMesh(
    told,
    said({ a: "gone", b: "draining", c: "ready", e: "ready", x: "ready" }),
  );
  const expected = ["b draining", "c live", "e draining"];
  assert.deepEqual(states(corrected.services[0]?.endpoints), expected);
  assert.deepEqual(states(corrected.networks[0]?.services[0]?.endpoints), [
    ...["b draining", "c live", "d starting", "e draining"],
  ]);
});

test("the host-mode ports of a task that is ready are known by names, those of a hidden one are not", () => {
  const port = { protocol: "udp", publishedPort: 32_001, targetPort: 53 } as const;
  const published = [{ taskID: "a", ...port, nodeIndex: 1 }];
  const told = { ...mesh({}), services: [{ ...service({ b: "starting" }), published }] };
  const ipv6Ports = ["udp/53"];
  const ready = new Map([["b", { word: "ready" as const, ports: [port], ipv6Ports }]]);
  const [, lifted] = correctedMesh(
    { ...told, services: [service({ a: "live", b: "starting" })] },
    ready,
  ).services.flatMap(({ endpoints }) => endpoints);
  assert.deepEqual(lifted?.ipv6Ports, ipv6Ports);
  const names = (overrides: ReadonlyMap<string, EndpointOverride>) =>
    correctedMesh(told, overrides).services[0]?.published?.map(({ taskID }) => taskID);
  assert.deepEqual(names(ready), ["a", "b"]);
  assert.deepEqual(names(said({ a: "draining" })), undefined);
  assert.deepEqual(names(new Map()), ["a"]);
});

test("of what did not change the same value comes out again", () => {
  const told = mesh({ a: "live", c: "starting" });
  const [first, again] = [correctedMesh(told, new Map()), correctedMesh(told, said({ x: "gone" }))];
  assert.equal(first.services[0], again.services[0]);
  assert.equal(again.networks[0], told.networks[0]);
  const settled = mesh({ a: "live" });
  assert.equal(correctedMesh(settled, new Map()).services[0], settled.services[0]);
});

test("whatever is said, no endpoint is made, none is given more than managers allow, and none that starts is left", () => {
  const told = fc.dictionary(
    fc.constantFrom("a", "b", "c"),
    fc.constantFrom<State>("starting", "live", "draining"),
  );
  const words = fc.dictionary(
    fc.constantFrom("a", "b", "c", "x"),
    fc.constantFrom(...ENDPOINT_WORDS),
  );
  fc.assert(
    fc.property(told, words, (given, spoken) => {
      const corrected = correctedMesh(mesh(given), said(spoken));
      for (const { taskID, state } of corrected.services[0]?.endpoints ?? []) {
        if (state === "live") assert.notEqual(given[taskID], "draining");
        if (given[taskID] === "starting" && state === "live") assert.equal(spoken[taskID], "ready");
        assert.ok(taskID in given);
        assert.notEqual(state as string, "starting");
      }
    }),
  );
});
