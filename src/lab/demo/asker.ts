/**
 * A client that keeps asking every host in turn, each time on a fresh connection, and remembers who
 * answered and whose address the task saw. It runs inside the client's namespaces as a program of its own.
 */
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import type { Machine } from "../machine.ts";
import type { Service } from "../process.ts";

export interface Sample {
  /** The host that was asked. */
  readonly host: string;
  readonly ok: boolean;
  /** The task's hostname, and the client's address as it saw it. */
  readonly task?: string;
  readonly client?: string;
  readonly error?: string;
  readonly tookMs: number;
}

export interface Tally {
  readonly host: string;
  readonly sent: number;
  readonly failed: number;
  readonly slowestMs: number;
  readonly last: Sample | undefined;
  readonly tasks: ReadonlySet<string>;
  readonly clients: ReadonlySet<string>;
}

export class Asker {
  readonly #service: Service;
  #read = 0;

  private constructor(service: Service) {
    this.#service = service;
  }

  /** Starts asking `http://ADDRESS:PORT/` of each host about every `intervalMs`. */
  static async start(
    client: Machine,
    targets: readonly string[],
    intervalMs: number,
  ): Promise<Asker> {
    const program = fileURLToPath(
      new URL(`./asker-program${extname(import.meta.url)}`, import.meta.url),
    );
    const argv = [process.execPath, program, String(intervalMs), ...targets];
    return new Asker(await client.spawn(argv, { name: `asker-${Date.now()}` }));
  }

  /** What has been answered since the last call. */
  news(): Sample[] {
    const lines = this.#service.output().split("\n").slice(0, -1);
    const fresh = lines.slice(this.#read);
    this.#read = lines.length;
    return fresh.map((line) => JSON.parse(line) as Sample);
  }

  async stop(): Promise<void> {
    await this.#service.end("SIGTERM");
  }
}

export function tally(samples: readonly Sample[], hosts: readonly string[]): Tally[] {
  return hosts.map((host) => {
    const own = samples.filter((sample) => sample.host === host);
    return {
      host,
      sent: own.length,
      failed: own.filter((sample) => !sample.ok).length,
      slowestMs: Math.max(0, ...own.map((sample) => sample.tookMs)),
      last: own.at(-1),
      tasks: new Set(own.flatMap((sample) => sample.task ?? [])),
      clients: new Set(own.flatMap((sample) => sample.client ?? [])),
    };
  });
}

export function table(rows: readonly Tally[]): string[] {
  const cells = rows.map((row) => [
    row.host,
    String(row.sent),
    String(row.failed),
    `${row.slowestMs.toFixed(0)} ms`,
    row.last === undefined ? "–" : (row.last.task ?? row.last.error ?? "no answer"),
    row.last?.client ?? "–",
  ]);
  const head = [
    "asked",
    "requests",
    "failed",
    "slowest",
    "last answer by",
    "client, as the task saw it",
  ];
  const widths = head.map((title, column) =>
    Math.max(title.length, ...cells.map((row) => (row[column] ?? "").length)),
  );
  return [head, ...cells].map((row) =>
    `   ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ")}`.trimEnd(),
  );
}
