/**
 * Images without a registry: Debian's own programs with the libraries they need, packed as
 * `docker save` would. Built once into a cache, then loaded into each Engine.
 */
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { UnavailableError } from "../base/errors.ts";
import { type ImageConfig, packImage } from "./image-archive.ts";
import { REPOSITORY } from "./places.ts";
import { runOk } from "./process.ts";
import { traced } from "./trace.ts";

export const IMAGE_NAMES = ["nginx", "busybox", "dns-cache", "haproxy"] as const;
export type ImageName = (typeof IMAGE_NAMES)[number];

interface Recipe {
  /** Programs of this machine, each with its libraries, and the Debian package that has it. */
  readonly programs: Readonly<Record<string, string>>;
  readonly files: Readonly<Record<string, string>>;
  readonly directories: readonly string[];
  /** Whether busybox's applets are linked into /bin. */
  readonly applets: boolean;
  readonly config: ImageConfig;
}

const PASSWD = "root:x:0:0:root:/root:/bin/sh\nnginx:x:101:101:nginx:/nonexistent:/bin/false\n";
const GROUP = "root:x:0:\nnginx:x:101:\n";
const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Answers with the task's own name and the client's address as the task sees it. See `parseAnswer`. */
const NGINX_CONF = `user nginx;
worker_processes 1;
pid /run/nginx.pid;
error_log /dev/stderr notice;
events { worker_connections 4096; }
http {
  default_type text/plain;
  access_log /dev/stdout;
  # A connection is not closed for having been used a thousand times: loads keep theirs for long.
  keepalive_requests 100000000;
  server {
    listen 80;
    listen [::]:80;
    location / { return 200 "task $hostname\\nclient $remote_addr\\nserver $server_addr\\n"; }
    # 1 MiB at 64 KiB/s: a connection that is in use for a quarter of a minute.
    location = /slow { root /usr/share/nginx; limit_rate 64k; }
  }
}
`;

/** Answers every name below fixed.test with 192.0.2.53, and TXT task.test with its own name; logs each client. */
const DNS_START = `#!/bin/sh
exec /usr/sbin/dnsmasq --keep-in-foreground --user=root --group=root --pid-file= --no-resolv --no-hosts \\
  --log-queries=extra --log-facility=- --address=/fixed.test/192.0.2.53 \\
  --txt-record="task.test,$(hostname)"
`;

const RECIPES: Readonly<Record<ImageName, Recipe>> = {
  nginx: {
    programs: { "/usr/sbin/nginx": "nginx-light" },
    files: {
      "/etc/passwd": PASSWD,
      "/etc/group": GROUP,
      "/etc/nginx/nginx.conf": NGINX_CONF,
      "/usr/share/nginx/slow": "weft\n".repeat(209_716),
    },
    directories: ["/run", "/tmp", "/var/log/nginx", "/var/lib/nginx", "/var/lock"],
    applets: false,
    config: {
      Cmd: ["nginx", "-g", "daemon off;"],
      Env: [PATH],
      ExposedPorts: { "80/tcp": {} },
      StopSignal: "SIGQUIT",
    },
  },
  busybox: {
    programs: { "/bin/busybox": "busybox-static" },
    files: { "/etc/passwd": PASSWD, "/etc/group": GROUP },
    directories: ["/root", "/run", "/tmp", "/var"],
    applets: true,
    config: { Cmd: ["sh"], Env: [PATH] },
  },
  "dns-cache": {
    programs: { "/bin/busybox": "busybox-static", "/usr/sbin/dnsmasq": "dnsmasq-base" },
    files: { "/etc/passwd": PASSWD, "/etc/group": GROUP, "/start": DNS_START },
    directories: ["/run", "/tmp", "/var/lib/misc"],
    applets: true,
    config: { Cmd: ["/start"], Env: [PATH], ExposedPorts: { "53/tcp": {}, "53/udp": {} } },
  },
  haproxy: {
    programs: { "/usr/sbin/haproxy": "haproxy" },
    files: { "/etc/passwd": PASSWD, "/etc/group": GROUP },
    directories: ["/run", "/tmp", "/var/lib/haproxy"],
    applets: false,
    config: {
      Cmd: ["haproxy", "-db", "-f", "/etc/haproxy/haproxy.cfg"],
      Env: [PATH],
      StopSignal: "SIGUSR1",
    },
  },
};

const CACHE_DIR = join(REPOSITORY, ".weft-lab", "images");

/** The archive of `NAME:latest`, built if it is not in the cache. */
export async function imageArchive(name: ImageName): Promise<string> {
  const recipe = RECIPES[name];
  const archive = join(CACHE_DIR, `${name}-${fingerprint(recipe)}.tar`);
  if (!existsSync(archive)) await traced(`build image ${name}`, () => build(name, recipe, archive));
  return archive;
}

/** What the nginx image answers: which task, and who it says has called. */
export interface Answer {
  readonly task: string;
  readonly client: string;
  readonly server: string;
}

export function parseAnswer(body: string): Answer {
  const field = (name: string) => new RegExp(`^${name} (.*)$`, "m").exec(body)?.[1] ?? "";
  return { task: field("task"), client: field("client"), server: field("server") };
}

async function build(name: ImageName, recipe: Recipe, archive: string): Promise<void> {
  mkdirSync(CACHE_DIR, { recursive: true });
  const work = mkdtempSync(join(CACHE_DIR, `.${name}-`));
  try {
    const root = join(work, "root");
    await fillRoot(root, recipe);
    const packed = await packImage({ name: `${name}:latest`, root, config: recipe.config, work });
    renameSync(packed, archive); // two builders make the same archive; the later one stays
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function fillRoot(root: string, recipe: Recipe): Promise<void> {
  for (const dir of recipe.directories) mkdirSync(join(root, dir), { recursive: true });
  for (const [path, content] of Object.entries(recipe.files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
    if (content.startsWith("#!")) chmodSync(join(root, path), 0o755);
  }
  for (const program of Object.keys(recipe.programs)) {
    for (const file of [program, ...(await librariesOf(program))]) copyInto(root, file);
  }
  if (recipe.applets) await linkApplets(root);
}

function copyInto(root: string, file: string): void {
  const target = join(root, file);
  mkdirSync(dirname(target), { recursive: true });
  copyFileSync(realpathSync(file), target);
  chmodSync(target, 0o755);
}

/** The shared libraries of a program, its loader included, by the paths under which it looks for them. */
async function librariesOf(program: string): Promise<string[]> {
  const listing = await runOk(["ldd", program]).catch(() => ""); // a static program has none
  const paths = listing.split("\n").map((line) => /(?:=> )?(\/\S+) \(0x/.exec(line)?.[1]);
  return paths.filter((path) => path !== undefined);
}

async function linkApplets(root: string): Promise<void> {
  const applets = (await runOk(["/bin/busybox", "--list"])).split("\n").filter(Boolean);
  for (const applet of applets) {
    const link = join(root, "bin", applet);
    if (applet !== "busybox" && !existsSync(link)) symlinkSync("busybox", link);
  }
}

/** Changes when the recipe does or a package is upgraded. */
function fingerprint(recipe: Recipe): string {
  const hash = createHash("sha256").update(JSON.stringify(recipe));
  for (const [program, pkg] of Object.entries(recipe.programs)) {
    if (!existsSync(program)) {
      throw new UnavailableError(`${program} is not installed; it is in Debian's package ${pkg}`);
    }
    hash.update(readFileSync(program));
  }
  return hash.digest("hex").slice(0, 12);
}
