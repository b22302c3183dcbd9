import assert from "node:assert/strict";
import { it } from "node:test";
import { containerStateOf } from "./container-state.ts";

const inspected = (State: object) => ({
  Id: "c1",
  Config: { Labels: { "weft.task.id": "t1" } },
  State,
});
const base = { containerID: "c1", taskID: "t1", health: "none" };

const ROWS = [
  ["created", { Status: "created", Pid: 0, ExitCode: 0, Error: "" }, { ...base, phase: "created" }],
  [
    "a start that failed",
    { Status: "created", ExitCode: 127, Error: "not found" },
    { ...base, phase: "created", error: "not found" },
  ],
  [
    "running with a health check",
    { Status: "running", Pid: 7, Health: { Status: "starting" } },
    { ...base, phase: "running", pid: 7, health: "starting" },
  ],
  ["paused, which is alive", { Status: "paused", Pid: 7 }, { ...base, phase: "running", pid: 7 }],
  [
    "ended, which the Engine calls unhealthy whatever it was",
    { Status: "exited", ExitCode: 137, OOMKilled: true, Health: { Status: "unhealthy" } },
    { ...base, phase: "exited", exitCode: 137, oomKilled: true },
  ],
  ["half removed", { Status: "dead", ExitCode: 0 }, { ...base, phase: "exited", exitCode: 0 }],
] as const;

for (const [name, state, expected] of ROWS) {
  it(`reads a container that is ${name}`, () => {
    assert.deepEqual(containerStateOf(inspected(state)), expected);
  });
}

it("a container that is not Weft's is none", () => {
  assert.equal(containerStateOf({ ...inspected({}), Config: { Labels: null } }), undefined);
  assert.equal(containerStateOf(undefined), undefined);
});

it("what an image may listen on is read with the container", () => {
  const ExposedPorts = { "80/tcp": {}, "53/udp": {}, "9/sctp": {}, "x/tcp": {} };
  const Config = { Labels: { "weft.task.id": "t1" }, ExposedPorts };
  const state = containerStateOf({ ...inspected({ Status: "running", Pid: 7 }), Config });
  assert.deepEqual(state?.exposedPorts, ["tcp/80", "udp/53"]);
});
