/**
 * What a task serves in the benchmark: nginx, iperf3 and a UDP echo, this machine's own programs started
 * in the task's network. So every path ends at the same programs, whoever made the network.
 */
import { writeFileSync } from "node:fs";
import type { Host } from "../../src/lab/host.ts";
import type { Place } from "../../src/lab/place.ts";
import { until } from "../../src/lab/until.ts";
import type { Served } from "../loads/load.ts";

/** The ports that the programs listen on, inside the task. */
export const SERVED_PORTS: Readonly<Record<Served, number>> = { http: 80, bulk: 5201, udp: 9000 };

const ECHO = new URL("../loads/udp-echo.ts", import.meta.url).pathname;
const CONFIG_PATH = "/etc/bench-nginx.conf";

/** One worker, as an nginx in a task has; no log, as no log shall be measured. */
const NGINX_CONFIG = `user root;
worker_processes 1;
daemon off;
pid /run/bench-nginx.pid;
error_log stderr;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 100000000;
  server { listen ${SERVED_PORTS.http} backlog=4096; location / { return 200 "weft\\n"; } }
}
`;

/** Starts all of them in a place of a host; resolves when they listen. */
export async function startServers(host: Host, task: Place): Promise<void> {
  writeFileSync(host.path(CONFIG_PATH), NGINX_CONFIG);
  await task.spawn(["nginx", "-c", CONFIG_PATH], { name: "bench-nginx" });
  await task.spawn(["iperf3", "--server", "--port", `${SERVED_PORTS.bulk}`], { name: "iperf3" });
  await task.spawn([process.execPath, ECHO, `${SERVED_PORTS.udp}`], { name: "udp-echo" });
  for (const [flags, port] of [
    ["-Hltn", SERVED_PORTS.http],
    ["-Hltn", SERVED_PORTS.bulk],
    ["-Hlun", SERVED_PORTS.udp],
  ] as const) {
    await until(async () => (await task.exec(["ss", flags, `sport = :${port}`])).stdout !== "", {
      what: `a program on port ${port} of ${task.name}`,
    });
  }
}
