import assert from "node:assert/strict";
import { it } from "node:test";
import type { Privileges } from "../../cluster/objects.ts";
import type { ContainerConfig } from "../runtime.ts";
import { createBody } from "./container-create.ts";

const PLAIN: ContainerConfig = {
  name: "web.1.abc",
  taskID: "abc",
  image: "nginx:latest",
  labels: { colour: "blue" },
  env: [],
  mounts: [],
  stopGraceMs: 10_000,
};

it("a plain task asks for nothing that its spec does not have", () => {
  assert.deepEqual(createBody(PLAIN), {
    Image: "nginx:latest",
    Labels: { colour: "blue", "weft.task.id": "abc" },
    Env: [],
    StopTimeout: 10,
    HostConfig: {
      RestartPolicy: { Name: "no" },
      Isolation: "default",
      PortBindings: {},
      Ulimits: [],
      Mounts: [],
    },
  });
});

it("a task on a Weft network has the address that the manager gave", () => {
  const body = createBody({ ...PLAIN, networks: [{ name: "ingress", addresses: ["10.0.0.9"] }] });
  assert.deepEqual(body["NetworkingConfig"], {
    EndpointsConfig: { ingress: { IPAMConfig: { IPv4Address: "10.0.0.9" } } },
  });
  assert.equal((body["HostConfig"] as Record<string, unknown>)["NetworkMode"], "ingress");
});

it("no label of a user's hides whose container it is", () => {
  const body = createBody({ ...PLAIN, labels: { "weft.task.id": "other" } });
  assert.deepEqual(body["Labels"], { "weft.task.id": "abc" });
});

it("options of mounts are spelled as Docker spells them, users' own keys are not touched", () => {
  const volumeOptions = {
    noCopy: true,
    labels: { colour: "blue" },
    driverConfig: { name: "nfs", options: { addr: "lan" } },
  };
  const mounts = [{ type: "volume", source: "data", target: "/d", volumeOptions }] as const;
  const { Mounts } = createBody({ ...PLAIN, mounts })["HostConfig"] as { Mounts: unknown };
  assert.deepEqual(Mounts, [
    {
      Type: "volume",
      Source: "data",
      Target: "/d",
      VolumeOptions: {
        NoCopy: true,
        Labels: { colour: "blue" },
        DriverConfig: { Name: "nfs", Options: { addr: "lan" } },
      },
    },
  ]);
});

it("the kernel's choice of whom to end is the container's own", () => {
  const { OomScoreAdj } = createBody({ ...PLAIN, oomScoreAdj: -500 })["HostConfig"] as {
    OomScoreAdj: unknown;
  };
  assert.equal(OomScoreAdj, -500);
});

it("security options are those that `docker run` would give", () => {
  const optionsOf = (privileges: Privileges) =>
    (createBody({ ...PLAIN, privileges })["HostConfig"] as Record<string, unknown>)["SecurityOpt"];
  assert.deepEqual(optionsOf({ seccomp: { mode: "default" }, appArmor: { mode: "default" } }), []);
  assert.deepEqual(
    optionsOf({
      seLinuxContext: { user: "u", level: "s0:c1" },
      seccomp: { mode: "custom", profile: Buffer.from('{"a":1}').toString("base64") },
      appArmor: { mode: "disabled" },
      noNewPrivileges: true,
    }),
    [
      "label=user:u",
      "label=level:s0:c1",
      'seccomp={"a":1}',
      "apparmor=unconfined",
      "no-new-privileges=true",
    ],
  );
  assert.deepEqual(
    optionsOf({ seLinuxContext: { disable: true, user: "u" }, seccomp: { mode: "unconfined" } }),
    ["label=disable", "seccomp=unconfined"],
  );
});
