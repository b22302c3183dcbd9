/**
 * Probes: many requests at once from one place in the lab, each with the address and port that it
 * really has there. The program that sends them is probe.ts.
 */
import assert from "node:assert/strict";
import { parseAnswer } from "../../../src/lab/images.ts";
import type { Place } from "../../../src/lab/place.ts";
import type { ProbeInit, ProbeOutcome } from "./probe.ts";

export type Probe = ProbeInit;

export interface ProbeResult {
  readonly probe: Probe;
  /** Absent when it was answered; else as ECONNREFUSED, ECONNRESET, ETIMEDOUT. */
  readonly error?: string;
  readonly tookMs: number;
  /** From the nginx image: the container's short id, and the client's address as it saw it. */
  readonly task: string;
  readonly client: string;
}

const PROGRAM = new URL("probe.ts", import.meta.url).pathname;

/** Sends all probes at once from one place; connections stay open until the last is answered. */
export async function probe(place: Place, probes: readonly Probe[]): Promise<ProbeResult[]> {
  const stdin = JSON.stringify(probes);
  const { code, stdout, stderr } = await place.exec([process.execPath, PROGRAM], { stdin });
  assert.equal(code, 0, `probes from ${place.name}: ${stderr}`);
  const outcomes = JSON.parse(stdout) as ProbeOutcome[];
  return outcomes.map(({ error, body, tookMs }, index) => {
    const { task, client } = parseAnswer(body);
    const sent = probes[index] as Probe;
    return { probe: sent, tookMs, task, client, ...(error === undefined ? {} : { error }) };
  });
}
