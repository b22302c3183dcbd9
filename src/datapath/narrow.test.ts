import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { desired } from "./desired.ts";
import { narrow } from "./narrow.ts";
import { type Plan, plan } from "./plan.ts";
import { ServiceIndex } from "./service-index.ts";
import { anyView, makeEndpoint, makeFacts, makeService, makeView } from "./testing.ts";
import type { MeshView } from "./view.ts";

const onHost = (view: MeshView) => ({ view, facts: makeFacts(view) });
const stateOf = (view: MeshView, of = view) => desired(view, makeFacts(of));

/** Commands without their order, in which services do not depend on each other. */
function commandsOf({ additions, transaction, forget, removals }: Plan): string[] {
  const elements = transaction.flatMap((command): object[] => {
    if (command.kind === "elements.add") {
      return command.elements.map((element) => ({ ...command, elements: [element] }));
    }
    if (command.kind !== "elements.delete") return [command];
    return command.keys.map((key) => ({ ...command, keys: [key] }));
  });
  return [...additions, ...elements, ...forget, ...removals]
    .map((one) => JSON.stringify(one))
    .sort();
}

function assertSamePlan(from: MeshView, to: MeshView): void {
  const { before, after } = narrow(onHost(from), onHost(to));
  const narrowed = plan(stateOf(before, from), stateOf(after, to));
  assert.deepEqual(commandsOf(narrowed), commandsOf(plan(stateOf(from), stateOf(to))));
}

/** A view of the same nodes, so that there is something to narrow. */
const anyViewOfTheSameMesh = anyView.map((view) => ({ ...makeView(view), ...MESH }));
const { self, peers, subnet, vni, dataPathPort } = makeView();
const MESH = { self, peers, subnet, vni, dataPathPort };

test("a plan from narrow views is the plan from whole ones", () => {
  fc.assert(
    fc.property(anyViewOfTheSameMesh, anyViewOfTheSameMesh, (from, to) => assertSamePlan(from, to)),
    { numRuns: 500 },
  );
});

test("also when some services stay as they are", () => {
  const anyChange = fc.record({
    from: anyViewOfTheSameMesh,
    to: anyViewOfTheSameMesh,
    stays: fc.infiniteStream(fc.boolean()),
  });
  fc.assert(
    fc.property(anyChange, ({ from, to, stays }) => {
      const services = from.services.map((service, index) =>
        stays.next().value ? service : (to.services[index] ?? service),
      );
      const heldPorts = stays.next().value ? from.heldPorts : to.heldPorts;
      const localLinks = stays.next().value ? from.localLinks : to.localLinks;
      assertSamePlan(from, { ...from, services, heldPorts, localLinks });
    }),
    { numRuns: 1_000 },
  );
});

test("also with an index that has followed every view before", () => {
  const anyLife = fc.array(
    fc.record({
      to: fc.oneof(anyViewOfTheSameMesh, anyView),
      stays: fc.infiniteStream(fc.boolean()),
    }),
    { minLength: 2, maxLength: 6 },
  );
  fc.assert(
    fc.property(anyLife, (life) => {
      const index = new ServiceIndex();
      let from = makeView(MESH);
      for (const { to, stays } of life) {
        const kept = from.services.filter(() => stays.next().value);
        const ids = new Set(kept.map(({ serviceID }) => serviceID));
        const others = to.services.filter(({ serviceID }) => !ids.has(serviceID));
        const next = { ...to, services: [...kept, ...others] };
        const { before, after } = narrow(onHost(from), onHost(next), index);
        const alone = narrow(onHost(from), onHost(next));
        assert.deepEqual({ before, after }, alone);
        from = next;
      }
    }),
    { numRuns: 300 },
  );
});

test("also when nodes or the tunnel change", () => {
  fc.assert(fc.property(anyView, anyView, assertSamePlan));
});

const services = Array.from({ length: 100 }, (_, index) =>
  makeService(1_000 + index, {
    endpoints: [makeEndpoint({ address: `10.255.1.${index}` })],
  }),
);

test("what did not change is not looked at: one service and no other is left", () => {
  const [from, to] = [services, services.with(7, makeService(1_007))].map((all) =>
    onHost(makeView({ services: structuredClone(all) })),
  );
  assert.ok(from !== undefined && to !== undefined);
  const { before, after } = narrow(from, to);
  assert.deepEqual([before.services.length, after.services.length], [1, 1]);
  assert.equal(after.heldPorts.size, 1);
});

test("a chain that others are in stays when a service leaves it", () => {
  // More than the chains that are always there have.
  const many = (count: number) =>
    Array.from({ length: count }, (_, index) => makeEndpoint({ address: `10.255.7.${index + 1}` }));
  const crowded = services.map((service, index) =>
    index === 7 || index === 8 ? { ...service, endpoints: many(33) } : service,
  );
  const from = makeView({ services: crowded });
  const to = makeView({ services: crowded.with(7, makeService(1_007, { endpoints: many(34) })) });
  const { before, after } = narrow(onHost(from), onHost(to));
  assert.equal(after.services.length, 2);
  const { transaction } = plan(stateOf(before), stateOf(after));
  const chains = transaction.filter(({ kind }) => kind === "chain.add" || kind === "chain.delete");
  assert.deepEqual(
    chains.map((command) => "name" in command && command.name),
    ["tcp_one_of_34"],
  );
});
