/**
 * An image registry on the lab's LAN, so that pulling can be tried without the internet: the lab's
 * own images, read-only, with credentials if a test wants them. It runs on the switch (lan.ts).
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type ImageName, imageArchive } from "./images.ts";
import type { Lan } from "./lan.ts";
import { ROUTER_IPV4 } from "./lan.ts";
import { runOk, Service } from "./process.ts";
import type { RegistryPlan } from "./registry-worker.ts";
import { until } from "./until.ts";

const PORT = 5000;

/** How images of the registry are named: `${REGISTRY}/nginx`. */
export const REGISTRY = `${ROUTER_IPV4}:${PORT}`;

/** The Engine's configuration without which it asks a LAN registry for a certificate. */
export const REGISTRY_ENGINE_CONFIG = JSON.stringify({ "insecure-registries": [REGISTRY] });

export interface RegistryInit {
  readonly images: readonly ImageName[];
  /** Asked of whoever pulls; nothing is asked when absent. */
  readonly credentials?: { readonly username: string; readonly password: string };
}

const WORKER = new URL(`./registry-worker${import.meta.url.slice(-3)}`, import.meta.url).pathname;

export class Registry {
  readonly #service: Service;

  private constructor(service: Service) {
    this.#service = service;
  }

  static async start(lan: Lan, runDir: string, init: RegistryInit): Promise<Registry> {
    const directories: Record<string, string> = {};
    for (const image of init.images) {
      const directory = join(runDir, "registry", image);
      mkdirSync(directory, { recursive: true });
      await runOk(["tar", "-xf", await imageArchive(image), "-C", directory]);
      directories[image] = directory;
    }
    const { username, password } = init.credentials ?? {};
    const authorization =
      username === undefined ? undefined : `Basic ${btoa(`${username}:${password}`)}`;
    const plan: RegistryPlan = { port: PORT, directories, authorization };
    const node = [process.execPath, "--disable-warning=ExperimentalWarning", WORKER];
    const logFile = join(runDir, "registry.log");
    const argv = lan.enter([...node, JSON.stringify(plan)]);
    const registry = new Registry(await Service.start(argv, { logFile }));
    await until(() => registry.log().includes("listening"), { what: "the lab's registry" });
    return registry;
  }

  /** One line per request: method, path, status. */
  log(): string {
    return this.#service.output();
  }

  async stop(): Promise<void> {
    await this.#service.end("SIGKILL");
  }
}
