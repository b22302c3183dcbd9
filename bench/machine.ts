/** What the benchmark ran on: figures without this say little. */
import { readFileSync } from "node:fs";
import { arch, availableParallelism, cpus, release, totalmem, version } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import { run } from "../src/lab/process.ts";
import { busyShareOf } from "./cpu.ts";

export interface MachineReport {
  readonly cores: number;
  readonly processor: string;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly architecture: string;
  /** Program to what it says of itself. */
  readonly versions: Readonly<Record<string, string>>;
  /** Share of all cores that other programs used in the second before the benchmark began. */
  readonly busyBefore: number;
}

const ASK: Readonly<Record<string, readonly string[]>> = {
  "Docker Engine": ["dockerd", "--version"],
  nft: ["nft", "--version"],
  haproxy: ["haproxy", "-v"],
  nginx: ["nginx", "-v"],
  wrk: ["wrk", "-v"],
  iperf3: ["iperf3", "--version"],
};

export async function describeMachine(busyBefore: number): Promise<MachineReport> {
  const asked = Object.entries(ASK).map(
    async ([program, argv]) => [program, await versionOf(argv)] as const,
  );
  return {
    cores: availableParallelism(),
    processor: cpus()[0]?.model.trim() ?? "unknown",
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: `${release()} ${version()}`,
    architecture: arch(),
    versions: { node: process.version, ...Object.fromEntries(await Promise.all(asked)) },
    busyBefore,
  };
}

const LOOK_MS = 1_000;

/** What runs beside the benchmark takes from every figure: looked at before anything of it runs. */
export async function busyShare(): Promise<number> {
  const before = readFileSync("/proc/stat", "utf8");
  await pause(LOOK_MS);
  return busyShareOf(before, readFileSync("/proc/stat", "utf8"));
}

/** The first number with a dot in what it prints, wherever it prints it and whatever its status. */
async function versionOf(argv: readonly string[]): Promise<string> {
  const { stdout, stderr } = await run(argv).catch(() => ({ stdout: "", stderr: "" }));
  return /\d+\.\d+[\w.+-]*/.exec(`${stdout}\n${stderr}`)?.[0] ?? "not found";
}
