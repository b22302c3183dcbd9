/** `weft lb` */
import { isDomainName, parseListener } from "../keeper/dns/names.ts";
import { askDaemon } from "./ask-daemon.ts";
import type { Command } from "./command.ts";
import { UsageError } from "./command.ts";
import { MANAGER_HOST_OPTION } from "./common-options.ts";
import { haproxyConfiguration } from "./lb-haproxy.ts";
import { nginxConfiguration } from "./lb-nginx.ts";
import {
  type BalancerOptions,
  type BalancerPlan,
  type BalancerWay,
  balancerPlan,
  type NodeAnswer,
  type ServiceAnswer,
} from "./lb-plan.ts";
import { describeOptions, type OptionTable, readOptions, splitWords } from "./options.ts";

const OPTIONS = {
  host: MANAGER_HOST_OPTION,
  way: {
    kind: "string",
    value: "mesh|names",
    help: "through every node, or straight to the tasks; mesh where the service has it",
  },
  http: { kind: "boolean", help: "balance requests of HTTP instead of connections" },
  dns: {
    kind: "strings",
    value: "ADDRESS:PORT",
    default: ["127.0.0.1:9353"],
    help: "where a node's daemon answers names (--dns-listen); more than once",
  },
  zone: { kind: "string", value: "NAME", default: "weft", help: "what those names end with" },
  slots: {
    kind: "string",
    value: "N",
    default: "20",
    help: "how many tasks HAProxy can follow by name",
  },
  format: { kind: "string", value: "text|json", default: "text", help: "how it is printed" },
} as const satisfies OptionTable;

/** More servers of one template are beyond what HAProxy is used for; it reserves memory for each. */
const SLOTS_MAX = 1_000;

const BALANCERS: Readonly<Record<string, (plan: BalancerPlan) => string>> = {
  haproxy: haproxyConfiguration,
  nginx: nginxConfiguration,
};

export const lbCommand: Command = {
  summary: "Print the configuration of a load balancer before a service",
  help: `Usage: weft lb haproxy|nginx SERVICE [OPTIONS]

Prints a complete configuration for HAProxy or nginx, for a balancer outside of the cluster or on a node. Through the
mesh its servers are all nodes, with a task or without, and it does not change when tasks move. By names it asks a node's
DNS where the tasks are: for services that publish in host mode. To be asked on a manager.

Options:
${describeOptions(OPTIONS)}

Exit codes: 0 printed, 1 the service cannot be balanced so, or no daemon answers, 2 called wrongly.

Examples:
  weft lb haproxy my-web --http > /etc/haproxy/haproxy.cfg && haproxy -c -f /etc/haproxy/haproxy.cfg
  weft lb haproxy cache --way names --dns 192.168.99.100:53 --dns 192.168.99.101:53
  weft lb nginx dns-cache > /etc/nginx/nginx.conf && nginx -t
`,
  async run(words) {
    const { operands, flags } = splitWords(OPTIONS, words);
    const [balancer = "", service, ...more] = operands;
    if (service === undefined || more.length > 0)
      throw new UsageError("expected a balancer and a service: haproxy my-web");
    const write = Object.hasOwn(BALANCERS, balancer) ? BALANCERS[balancer] : undefined;
    if (write === undefined) throw new UsageError(`'${balancer}' is neither haproxy nor nginx`);
    const options = readOptions(OPTIONS, { words: flags, env: process.env });
    const { format, host } = options;
    if (format !== "text" && format !== "json") throw new UsageError(`no format '${format}'`);
    const wanted = balancerOptions(options);
    const [found, nodes] = await Promise.all([
      askDaemon(host, `/services/${encodeURIComponent(service)}`),
      askDaemon(host, "/nodes"),
    ]);
    const plan = balancerPlan(found as ServiceAnswer, nodes as NodeAnswer[], wanted);
    const text = write(plan);
    const answer = { ...plan, configuration: text };
    process.stdout.write(format === "json" ? `${JSON.stringify(answer, undefined, 2)}\n` : text);
    return 0;
  },
};

interface Given {
  readonly way: string | undefined;
  readonly http: boolean;
  readonly dns: readonly string[];
  readonly zone: string;
  readonly slots: string;
}

function balancerOptions({ way, http, dns, zone, slots }: Given): BalancerOptions {
  if (way !== undefined && !isWay(way))
    throw new UsageError(`--way ${way} is neither mesh nor names`);
  const count = Number(slots);
  if (!/^\d+$/.test(slots) || count < 1 || count > SLOTS_MAX) {
    throw new UsageError(`--slots ${slots} is not a number from 1 to ${SLOTS_MAX}`);
  }
  if (!isDomainName(zone)) throw new UsageError(`--zone ${zone} cannot end a name`);
  for (const place of dns) {
    if (parseListener(place) === undefined) {
      throw new UsageError(`--dns ${place} is not as 192.168.99.100:53`);
    }
  }
  return { http, resolvers: dns, zone, slots: count, ...(way === undefined ? {} : { way }) };
}

function isWay(text: string): text is BalancerWay {
  return text === "mesh" || text === "names";
}
