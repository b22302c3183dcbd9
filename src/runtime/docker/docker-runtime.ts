/** The local Docker Engine as the runtime of tasks. Only containers and networks that carry Weft's labels are touched. */
import type { Clock } from "../../base/clock.ts";
import { ConflictError, NotFoundError, SystemError, UnavailableError } from "../../base/errors.ts";
import type { NodeDescription } from "../../cluster/objects.ts";
import type {
  ContainerConfig,
  ContainerNetwork,
  ContainerState,
  EnsureImageInit,
  LogFrame,
  LogOptions,
  Runtime,
  RuntimeEvent,
  RuntimeNetwork,
} from "../runtime.ts";
import { createBody, endpointConfigOf, TASK_LABEL } from "./container-create.ts";
import { ContainerEvents } from "./container-events.ts";
import { containerStateOf } from "./container-state.ts";
import { listOf, recordOf, stringOf } from "./decode.ts";
import { EngineClient } from "./engine-client.ts";
import { descriptionOf } from "./engine-description.ts";
import { ensureImage } from "./images.ts";
import { demultiplex, terminalLines } from "./log-frames.ts";
import { EngineNetworks } from "./networks.ts";

/** Beyond its grace a stop may take this long: with the network driver away the Engine waits 15 s on each of its calls. */
const STOP_MARGIN_MS = 120_000;

export interface DockerRuntimeComponents {
  readonly clock: Clock;
}

export interface DockerRuntimeInit {
  /** Path of the Engine's unix socket. */
  readonly socketPath: string;
}

export class DockerRuntime implements Runtime {
  readonly #client: EngineClient;
  readonly #networks: EngineNetworks;
  readonly #events: ContainerEvents;
  /** By task: asked twice at once, the Engine would answer with a conflict before it shows the container. */
  readonly #creating = new Map<string, Promise<string>>();

  constructor({ clock }: DockerRuntimeComponents, init: DockerRuntimeInit) {
    this.#client = new EngineClient(init);
    this.#networks = new EngineNetworks(this.#client);
    this.#events = new ContainerEvents(this.#client, clock);
  }

  async describe(): Promise<Omit<NodeDescription, "addresses">> {
    return descriptionOf(await this.#client.call("GET", "/info"));
  }

  ensureImage(image: string, init: EnsureImageInit = {}): Promise<void> {
    return ensureImage(this.#client, image, init);
  }

  ensureNetwork(network: RuntimeNetwork): Promise<void> {
    return this.#networks.ensure(network);
  }

  removeNetwork(name: string): Promise<void> {
    return this.#networks.remove(name);
  }

  async addressesIn(network: string): Promise<ReadonlySet<string>> {
    const containers = await this.#client.call("GET", "/containers/json", {
      query: { all: true, filters: JSON.stringify({ network: [network] }) },
    });
    const addresses = listOf(containers).flatMap((container) => {
      const networks = recordOf(recordOf(recordOf(container)["NetworkSettings"])["Networks"]);
      const endpoint = recordOf(networks[network]);
      const given = stringOf(recordOf(endpoint["IPAMConfig"])["IPv4Address"]);
      return given ?? stringOf(endpoint["IPAddress"]) ?? [];
    });
    return new Set(addresses);
  }

  sweepNetworks(isWanted: (name: string) => boolean): Promise<void> {
    return this.#networks.sweep(isWanted);
  }

  /** Names of the networks that Weft made on this Engine. */
  networks(): Promise<readonly string[]> {
    return this.#networks.list();
  }

  create(config: ContainerConfig): Promise<string> {
    const underWay = this.#creating.get(config.taskID);
    if (underWay !== undefined) return underWay;
    const created = this.#create(config).finally(() => this.#creating.delete(config.taskID));
    this.#creating.set(config.taskID, created);
    return created;
  }

  async start(containerID: string): Promise<void> {
    await this.#client.call("POST", `/containers/${containerID}/start`, { harmless: [304] });
  }

  async stop(containerID: string, init: { readonly graceMs: number }): Promise<void> {
    await this.#client.call("POST", `/containers/${containerID}/stop`, {
      query: { t: Math.ceil(init.graceMs / 1000) },
      harmless: [304, 404],
      timeoutMs: init.graceMs + STOP_MARGIN_MS,
      ownConnection: true,
    });
  }

  async remove(containerID: string): Promise<void> {
    await this.#client.call("DELETE", `/containers/${containerID}`, {
      query: { force: true, v: true },
      // 409: another removal of it is under way.
      harmless: [404, 409],
      timeoutMs: STOP_MARGIN_MS,
      ownConnection: true,
    });
  }

  async inspect(containerID: string): Promise<ContainerState | undefined> {
    return containerStateOf(await this.#inspect(containerID));
  }

  async list(): Promise<readonly ContainerState[]> {
    const ids = await this.#ids({ label: [TASK_LABEL] });
    const states = await Promise.all(ids.map((id) => this.inspect(id)));
    return states.filter((state) => state !== undefined);
  }

  events(signal: AbortSignal): AsyncIterable<RuntimeEvent> {
    return this.#events.read(signal);
  }

  async *logs(
    containerID: string,
    options: LogOptions,
    signal: AbortSignal,
  ): AsyncIterable<LogFrame> {
    const inspected = recordOf(await this.#inspect(containerID));
    const chunks = await this.#client.stream("GET", `/containers/${containerID}/logs`, {
      query: { ...options, tail: options.tail ?? "all" },
      signal,
    });
    const isTerminal = recordOf(inspected["Config"])["Tty"] === true;
    yield* isTerminal ? terminalLines(chunks) : demultiplex(chunks);
  }

  /** Closes the connections to the Engine. */
  close(): void {
    this.#client.close();
  }

  async #create(told: ContainerConfig): Promise<string> {
    const networks = told.networks?.map((network) => ({
      ...network,
      addresses: this.#networks.addressesIn(network),
    }));
    const config = networks === undefined ? told : { ...told, networks };
    const containerID = await this.#createOrAdopt(config);
    await this.#connect(containerID, config.networks?.slice(1) ?? []);
    return containerID;
  }

  /** Those of the networks that it is not on yet: one that was adopted may lack some. */
  async #connect(containerID: string, networks: readonly ContainerNetwork[]): Promise<void> {
    if (networks.length === 0) return;
    const settings = recordOf(recordOf(await this.#inspect(containerID))["NetworkSettings"]);
    const connected = recordOf(settings["Networks"]);
    for (const network of networks) {
      if (connected[network.name] !== undefined) continue;
      await this.#client.call("POST", `/networks/${encodeURIComponent(network.name)}/connect`, {
        body: { Container: containerID, EndpointConfig: endpointConfigOf(network) },
      });
    }
  }

  /** Its name is the task's own: one that an earlier try has made has it, and is found without looking each time. */
  async #createOrAdopt(config: ContainerConfig): Promise<string> {
    try {
      const created = await this.#client.call("POST", "/containers/create", {
        query: { name: config.name },
        body: createBody(config),
      });
      return containerIDOf(created);
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error;
      return await this.#adoptNamed(config, error);
    }
  }

  async #adoptNamed(config: ContainerConfig, conflict: ConflictError): Promise<string> {
    const holder = await this.#inspect(config.name);
    if (holder === undefined) {
      throw new UnavailableError(`the Docker Engine is still at ${config.name}`, {
        cause: conflict,
      });
    }
    if (containerStateOf(holder)?.taskID !== config.taskID) throw conflict;
    return containerIDOf(holder);
  }

  async #inspect(containerID: string): Promise<unknown> {
    try {
      return await this.#client.call("GET", `/containers/${containerID}/json`);
    } catch (error) {
      if (error instanceof NotFoundError) return undefined;
      throw error;
    }
  }

  async #ids(filters: { readonly label: readonly string[] }): Promise<readonly string[]> {
    const containers = await this.#client.call("GET", "/containers/json", {
      query: { all: true, filters: JSON.stringify(filters) },
    });
    return listOf(containers).flatMap((container) => stringOf(recordOf(container)["Id"]) ?? []);
  }
}

function containerIDOf(answer: unknown): string {
  const containerID = stringOf(recordOf(answer)["Id"]);
  if (containerID === undefined) throw new SystemError("the Docker Engine named no container");
  return containerID;
}
