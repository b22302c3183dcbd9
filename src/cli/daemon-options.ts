/** What `weft daemon` can be told, by flag, variable or key of the config file. */
import { DEFAULT_CONFIG_FILE, LOG_LEVEL_OPTION } from "./common-options.ts";
import { type OptionTable, type OptionValues, readOptions } from "./options.ts";

export const DAEMON_OPTIONS = {
  config: {
    kind: "string",
    env: "WEFT_CONFIG",
    value: "FILE",
    help: "JSON object with these options as keys",
  },
  host: {
    kind: "strings",
    env: "WEFT_HOST",
    value: "ADDRESS",
    help: "where the API answers; may be given more than once",
    default: ["unix:///run/weft.sock"],
  },
  "data-dir": {
    kind: "string",
    env: "WEFT_DATA_DIR",
    value: "DIR",
    help: "where this node's state is kept",
    default: "/var/lib/weft",
  },
  "docker-host": {
    kind: "string",
    env: "WEFT_DOCKER_HOST",
    value: "ADDRESS",
    help: "the local Docker Engine",
    default: "unix:///var/run/docker.sock",
  },
  "dns-listen": {
    kind: "strings",
    env: "WEFT_DNS_LISTEN",
    value: "ADDRESS:PORT",
    help: "where services' names are answered to balancers; more than once, or 'none'",
    default: ["127.0.0.1:9353"],
  },
  "dns-zone": {
    kind: "string",
    env: "WEFT_DNS_ZONE",
    value: "NAME",
    help: "what those names end with: my-web.NAME",
    default: "weft",
  },
  "log-level": LOG_LEVEL_OPTION,
  "metrics-addr": {
    kind: "string",
    env: "WEFT_METRICS_ADDR",
    value: "ADDRESS:PORT",
    help: "where Prometheus reads /metrics, as 127.0.0.1:9480; without it on the API's socket alone",
  },
  "publish-default-address": {
    kind: "strings",
    env: "WEFT_PUBLISH_DEFAULT_ADDRESS",
    value: "NETWORK|INTERFACE",
    help: "answer published ports at this host's addresses in it or on it alone, unless the service says; more than once; default all",
  },
  tlscacert: {
    kind: "string",
    value: "FILE",
    help: "CA that signs clients' certificates (tcp://)",
  },
  tlscert: { kind: "string", value: "FILE", help: "this server's certificate (tcp://)" },
  tlskey: { kind: "string", value: "FILE", help: "this server's private key (tcp://)" },
} as const satisfies OptionTable;

/** The options of a command that works on its own host: what the daemon is told in its config file counts for it too. */
export function readHostOptions<const T extends OptionTable>(
  table: T,
  words: readonly string[],
): OptionValues<T> {
  return readOptions(table, {
    words,
    env: process.env,
    configFile: DEFAULT_CONFIG_FILE,
    configTable: DAEMON_OPTIONS,
  });
}
