import assert from "node:assert/strict";
import { it } from "node:test";
import { makeTask, makeTaskSpec, type TaskInit } from "./factories.ts";
import type { ContainerSpec, Task } from "./objects.ts";
import { checkTemplates, expandTemplates } from "./template.ts";

const NODE = {
  nodeID: "node-1",
  hostname: "n1",
  platform: { architecture: "x86_64", os: "linux" },
};

function taskWith(spec: Partial<ContainerSpec>, overrides: TaskInit = {}): Task {
  return makeTask({
    id: "t1",
    serviceID: "service-1",
    spec: makeTaskSpec({ containerSpec: { image: "nginx", ...spec } }),
    serviceAnnotations: { name: "web", labels: { tier: "front", "com.example.zone": "a" } },
    ...overrides,
  });
}

const ROWS = [
  ["{{.Node.Hostname}}-{{.Task.Slot}}", "n1-1"],
  ["{{ .Service.Name }}/{{.Service.ID}}", "web/service-1"],
  ["{{.Task.Name}} {{.Task.ID}}", "web.1.t1 t1"],
  ["{{.Node.ID}} {{.Node.Platform.OS}}/{{.Node.Platform.Architecture}}", "node-1 linux/x86_64"],
  ["{{.Service.Labels.tier}}", "front"],
  ['{{index .Service.Labels "com.example.zone"}}', "a"],
  ['[{{index .Service.Labels "none"}}]', "[]"],
  ["no placeholder { } at all", "no placeholder { } at all"],
] as const;

for (const [text, expected] of ROWS) {
  it(`fills in ${text}`, () => {
    assert.equal(expandTemplates(taskWith({ hostname: text }), NODE).hostname, expected);
  });
}

it("values of the environment and both ends of mounts are filled in, names and the rest are not", () => {
  const text = "{{.Task.Slot}}";
  const volumeOptions = {
    noCopy: true,
    labels: { slot: text },
    driverConfig: { name: "local", options: { device: `:/export/${text}` } },
  };
  const spec = expandTemplates(
    taskWith({
      env: [`SLOT=${text}`, `${text}=x`, "PLAIN"],
      mounts: [{ type: "volume", source: `data-${text}`, target: `/data/${text}`, volumeOptions }],
      args: [text],
    }),
    NODE,
  );
  assert.deepEqual(spec.env, ["SLOT=1", `${text}=x`, "PLAIN"]);
  const [mount] = spec.mounts ?? [];
  assert.deepEqual([mount?.source, mount?.target], ["data-1", "/data/1"]);
  assert.deepEqual(mount?.volumeOptions, {
    noCopy: true,
    labels: { slot: "1" },
    driverConfig: { name: "local", options: { device: ":/export/1" } },
  });
  assert.deepEqual(spec.args, [text]);
});

it("the slot of a global service's task is its node", () => {
  const { slot: _slot, ...globalTask } = taskWith({ hostname: "{{.Task.Slot}}" });
  assert.equal(expandTemplates(globalTask as Task, NODE).hostname, "node-1");
});

it("a placeholder that there is not is named, with those that there are", () => {
  assert.throws(
    () => expandTemplates(taskWith({ hostname: "{{.Node.Name}}" }), NODE),
    /^InvalidParameterError: invalid template \{\{\.Node\.Name\}\}: a task has \.Service\.ID, /,
  );
});

it("a placeholder that no task has is refused before there is a task", () => {
  const refusals = [
    [
      { env: ["X={{.Foo}}"] },
      /^expanding env failed: expanding env "X=\{\{.Foo\}\}": invalid template/,
    ],
    [{ hostname: "{{.Node.Rack}}" }, /^expanding hostname failed: invalid template/],
    [{ hostname: "{{.Foo}" }, /failed: template: expansion:1: bad character U\+007D '}'$/],
    [{ env: ["X={{.Task.ID}}{{.Task"] }, /{{\.Task": template: expansion:1: unclosed action$/],
    [
      { mounts: [{ type: "volume", source: "{{end}}", target: "/x" }] },
      /^expanding mounts failed: expanding mount source/,
    ],
    [
      {
        mounts: [{ type: "volume", target: "/x", volumeOptions: { labels: { a: "{{.Foo}}" } } }],
      },
      /^expanding mounts failed: expanding volume labels: expanding map entry "a"="\{\{\.Foo\}\}": invalid template/,
    ],
  ] as const;
  for (const [spec, expected] of refusals) {
    assert.throws(() => checkTemplates({ image: "nginx", ...spec }), { message: expected });
  }
  for (const [text] of ROWS) checkTemplates({ image: "nginx", hostname: text, env: [`A=${text}`] });
});
