/** `weft daemon` */
import { parseListenHost } from "../api/address.ts";
import { messageOf } from "../base/errors.ts";
import { createLogger } from "../base/logger.ts";
import { parsePlaces } from "../cluster/publish-labels.ts";
import { isDomainName, parseListener } from "../keeper/dns/names.ts";
import type { Command } from "./command.ts";
import { UsageError } from "./command.ts";
import { DEFAULT_CONFIG_FILE, EXECUTABLE, logLevelOf } from "./common-options.ts";
import { DAEMON_OPTIONS, readHostOptions } from "./daemon-options.ts";
import { describeOptions } from "./options.ts";

/** Node.js 24.20 and 24.21 lose HTTP/2 streams; older than 24 cannot run the sources. */
const NODE_MAJOR_MIN = 24;
const FAULTY_NODE = /^24\.2[01]\./;

export const daemonCommand: Command = {
  summary: "Run this host's daemon: Docker's API, and the mesh",
  help: `Usage: weft daemon [OPTIONS]

Answers Docker's Engine API with Swarm mode as Weft does it, and passes everything else to the
local Docker Engine. Starts its keeper by itself. Needs root.

Options (a flag wins over its variable, that over the config file ${DEFAULT_CONFIG_FILE}):
${describeOptions(DAEMON_OPTIONS)}

Examples:
  weft daemon
  weft daemon --host unix:///run/weft.sock --host tcp://192.168.99.100:2376 \\
    --tlscacert ca.pem --tlscert server.pem --tlskey server-key.pem
  weft daemon --metrics-addr 127.0.0.1:9480
  weft daemon --publish-default-address 192.168.99.0/24 --publish-default-address 127.0.0.0/8
  weft daemon --publish-default-address eth1 --publish-default-address lo
`,
  async run(words) {
    const options = readHostOptions(DAEMON_OPTIONS, words);
    const tls = tlsOf(options);
    // Before anything is begun: a keeper that was started for nothing would stay.
    for (const host of options.host) asUsage(() => parseListenHost(host, tls !== undefined));
    refuseUnfitHost();
    const logLevel = logLevelOf(options["log-level"]);
    // Whoever read the log may go away; that ends a pipe, not the mesh.
    process.stderr.on("error", () => {});
    const { runDaemon } = await import("../node/daemon.ts");
    const { parseMetricsAddr } = await import("../api/metrics.ts");
    const { "metrics-addr": metrics } = options;
    const metricsAddr =
      metrics === undefined ? undefined : asUsage(() => parseMetricsAddr(metrics));
    await runDaemon({
      hosts: options.host,
      dataDir: options["data-dir"],
      dockerHost: options["docker-host"],
      logLevel,
      zone: zoneOf(options),
      publishDefault: publishDefaultOf(options),
      executable: [EXECUTABLE],
      ...(metricsAddr === undefined ? {} : { metricsAddr }),
      log: createLogger({ level: logLevel }),
      ...(tls === undefined ? {} : { tls }),
    });
    return 0;
  },
};

/** What is wrong with an option is how the command was called. */
function asUsage<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new UsageError(messageOf(error), { cause: error });
  }
}

function refuseUnfitHost(): void {
  const { node } = process.versions;
  if (Number(node.split(".")[0]) < NODE_MAJOR_MIN || FAULTY_NODE.test(node))
    throw new Error(`Node.js ${node} does not run Weft; 'make setup' installs the one that does`);
  if (process.getuid?.() !== 0)
    throw new Error("needs root: it writes nftables rules, links and routes");
}

function tlsOf(options: Readonly<Record<"tlscacert" | "tlscert" | "tlskey", string | undefined>>) {
  const { tlscacert, tlscert, tlskey } = options;
  if (tlscacert === undefined && tlscert === undefined && tlskey === undefined) return undefined;
  if (tlscacert === undefined || tlscert === undefined || tlskey === undefined)
    throw new UsageError("--tlscacert, --tlscert and --tlskey go together");
  return { tlscacert, tlscert, tlskey };
}

function publishDefaultOf(
  options: Readonly<Record<"publish-default-address", readonly string[]>>,
): readonly string[] {
  const { "publish-default-address": networks } = options;
  if (networks.length === 0) return [];
  return asUsage(() => parsePlaces("--publish-default-address", networks.join(",")));
}

function zoneOf(
  options: Readonly<Record<"dns-zone", string>> & { "dns-listen": readonly string[] },
) {
  const zone = options["dns-zone"].toLowerCase();
  if (!isDomainName(zone)) throw new UsageError(`--dns-zone ${zone} cannot end a name`);
  const [only, ...more] = options["dns-listen"];
  const listen = only === "none" && more.length === 0 ? [] : options["dns-listen"];
  for (const place of listen) {
    if (parseListener(place) !== undefined) continue;
    throw new UsageError(`--dns-listen ${place} is not as 192.168.99.100:53 or [fd00::1]:53`);
  }
  return { zone, listen };
}
