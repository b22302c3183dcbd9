/**
 * What else leads a port of one host to a task on another: HAProxy and nginx as TCP proxies, and iptables
 * as kube-proxy's old mode uses it. All on the plain entry host, to the plain remote task.
 */
import { existsSync, writeFileSync } from "node:fs";
import type { Host } from "../../src/lab/host.ts";
import type { Machine } from "../../src/lab/machine.ts";
import { SERVED, type Served, type Target } from "../loads/load.ts";
import { HAPROXY, IPTABLES, NGINX_STREAM, type Path, ROUTED_VXLAN } from "./path.ts";
import { REMOTE_TASK } from "./plain-hosts.ts";
import { SERVED_PORTS } from "./servers.ts";

/** A port of the entry host for each: the task's port and this. */
const OFFSETS = { haproxy: 21_000, nginx: 22_000, iptables: 23_000 } as const;
const TCP_SERVED: readonly Served[] = ["http", "bulk"];
const STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so";

/** One thread, as with each other proxy here: on two cores more of them only get in each other's way. */
export async function haproxyPath(client: Machine, entry: Host): Promise<Path> {
  const config = `global
  maxconn 4096
  nbthread 1
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
${TCP_SERVED.map(
  (served) => `listen ${served}
  bind 0.0.0.0:${SERVED_PORTS[served] + OFFSETS.haproxy}
  server task ${REMOTE_TASK}:${SERVED_PORTS[served]}`,
).join("\n")}
`;
  writeFileSync(entry.path("/etc/bench-haproxy.cfg"), config);
  await entry.spawn(["haproxy", "-db", "-f", "/etc/bench-haproxy.cfg"], { name: "haproxy" });
  return rival(HAPROXY, client, entry, OFFSETS.haproxy, TCP_SERVED);
}

/** Undefined where Debian's libnginx-mod-stream is not installed. */
export async function nginxStreamPath(client: Machine, entry: Host): Promise<Path | undefined> {
  if (!existsSync(STREAM_MODULE)) return undefined;
  const servers = SERVED.map((served) => {
    const udp = served === "udp" ? " udp" : " backlog=4096";
    const listen = `listen ${SERVED_PORTS[served] + OFFSETS.nginx}${udp};`;
    return `  server { ${listen} proxy_pass ${REMOTE_TASK}:${SERVED_PORTS[served]}; }`;
  });
  const config = `load_module ${STREAM_MODULE};
user root;
worker_processes 1;
daemon off;
pid /run/bench-stream.pid;
error_log stderr;
events { worker_connections 8192; }
stream {
${servers.join("\n")}
}
`;
  writeFileSync(entry.path("/etc/bench-stream.conf"), config);
  await entry.spawn(["nginx", "-c", "/etc/bench-stream.conf"], { name: "bench-stream" });
  return rival(NGINX_STREAM, client, entry, OFFSETS.nginx, SERVED);
}

/** Two ways of equal chance, as kube-proxy writes them; both lead to the one task. */
export async function iptablesPath(client: Machine, entry: Host): Promise<Path> {
  const rules = SERVED.flatMap((served) => {
    const protocol = served === "udp" ? "udp" : "tcp";
    const chain = `BENCH-${served.toUpperCase()}`;
    const to = `${REMOTE_TASK}:${SERVED_PORTS[served]}`;
    const dnat = `-p ${protocol} -j DNAT --to-destination ${to}`;
    return [
      `:${chain} - [0:0]`,
      `-A BENCH-PORTS -p ${protocol} --dport ${SERVED_PORTS[served] + OFFSETS.iptables} -j ${chain}`,
      `-A ${chain} -m statistic --mode random --probability 0.5 ${dnat}`,
      `-A ${chain} ${dnat}`,
    ];
  });
  const chains = rules.filter((rule) => rule.startsWith(":"));
  const input = [
    ...["*nat", ":BENCH-PORTS - [0:0]", ...chains],
    "-A PREROUTING -m addrtype --dst-type LOCAL -j BENCH-PORTS",
    ...rules.filter((rule) => !rule.startsWith(":")),
    ...["COMMIT", ""],
  ];
  await entry.execOk(["iptables-restore", "-w", "--noflush"], { stdin: input.join("\n") });
  return rival(IPTABLES, client, entry, OFFSETS.iptables, SERVED);
}

function rival(
  name: string,
  client: Machine,
  entry: Host,
  offset: number,
  carries: readonly Served[],
): Path {
  const target = (served: Served): [Served, Target] => [
    served,
    { address: entry.ip, port: SERVED_PORTS[served] + offset },
  ];
  const targets = Object.fromEntries(carries.map(target)) as Partial<Record<Served, Target>>;
  return { name, limit: ROUTED_VXLAN, client, targets };
}
