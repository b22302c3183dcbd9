import assert from "node:assert/strict";
import { it } from "node:test";
import { UnavailableError } from "../../base/errors.ts";
import { CONTRACT_PROGRAMS, type ContractProgram, runtimeContract } from "../contract.ts";
import type { ContainerConfig } from "../runtime.ts";
import { type FakeProgram, FakeRuntime } from "./fake-runtime.ts";

const PROGRAMS: Record<ContractProgram, FakeProgram> = {
  forever: { codeOnSignal: 7 },
  stubborn: { stopsOnSignal: false },
  "exit-3": { exitCode: 3 },
  talk: {
    output: [
      { stream: "stdout", text: "out\n" },
      { stream: "stderr", text: "err\n" },
    ],
  },
  sick: { health: "unhealthy" },
  missing: { startError: 'exec: "missing": executable file not found in $PATH' },
};

const runtime = new FakeRuntime({ images: ["busybox"], program });

runtimeContract("fake", {
  image: "busybox",
  runtime: () => runtime,
  program: (name) => ({ args: [name] }),
});

it("fails every call and every reader while it is away, and tells the rest afterwards", async () => {
  const fake = new FakeRuntime();
  const heard = fake.events(new AbortController().signal)[Symbol.asyncIterator]();
  const next = heard.next();
  fake.setAvailable(false);
  await assert.rejects(next, UnavailableError);
  await assert.rejects(fake.list(), UnavailableError);
  fake.setAvailable(true);
  assert.deepEqual(await fake.list(), []);
});

function program({ args = [] }: ContainerConfig): FakeProgram {
  const name = CONTRACT_PROGRAMS.find((known) => known === args[0]);
  return name === undefined ? {} : PROGRAMS[name];
}
