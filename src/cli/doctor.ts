/** `weft doctor` */
import { createLogger } from "../base/logger.ts";
import type { Command } from "./command.ts";
import { UsageError } from "./command.ts";
import { DAEMON_OPTIONS, readHostOptions } from "./daemon-options.ts";
import { describeOptions, type OptionTable } from "./options.ts";

const FORMATS = ["table", "json"];

const OPTIONS = {
  config: DAEMON_OPTIONS.config,
  host: DAEMON_OPTIONS.host,
  "docker-host": DAEMON_OPTIONS["docker-host"],
  format: { kind: "string", value: "FORMAT", help: FORMATS.join(" or "), default: "table" },
} as const satisfies OptionTable;

export const doctorCommand: Command = {
  summary: "Say what is wrong with this host, and what cures it",
  help: `Usage: weft doctor [OPTIONS]

Looks at this host before it joins a cluster, or as a member of one: kernel, tools, ports, the
Docker Engine, firewalls, routes, clocks, the mesh in the kernel, and the way to every peer with
small and full-size packets. Changes nothing. Needs root.

Options:
${describeOptions(OPTIONS)}

Exit status 0 when nothing keeps Weft from working, 1 when something does.

Examples:
  weft doctor
  weft doctor --format json
`,
  async run(words) {
    const options = readHostOptions(OPTIONS, words);
    if (!FORMATS.includes(options.format)) {
      throw new UsageError(`format must be ${FORMATS.join(" or ")}, not "${options.format}"`);
    }
    const [{ probeHost }, { findingsOf }, { exitCodeOf, renderFindings }] = await Promise.all([
      import("../doctor/probe.ts"),
      import("../doctor/checks.ts"),
      import("../doctor/finding.ts"),
    ]);
    const sockets = options.host.flatMap((host) => /^unix:\/\/(.*)$/.exec(host)?.[1] ?? []);
    const findings = findingsOf(
      await probeHost({
        engineSocket: options["docker-host"].replace(/^unix:\/\//, ""),
        apiSocket: sockets[0] ?? "",
        log: createLogger({ level: "error" }),
      }),
    );
    process.stdout.write(
      options.format === "json"
        ? `${JSON.stringify(findings, undefined, 2)}\n`
        : renderFindings(findings),
    );
    return exitCodeOf(findings);
  },
};
