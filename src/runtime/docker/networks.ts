/**
 * Weft's networks on the local Engine: network driver and IPAM driver both `weft`, with the subnet that the
 * managers gave. `docker network prune` takes an idle one away, so it is looked for before each task.
 */

import { isDeepStrictEqual } from "node:util";
import {
  ConflictError,
  ForbiddenError,
  NotFoundError,
  UnavailableError,
} from "../../base/errors.ts";
import { isOfIPv6 } from "../../base/ip-address.ts";
import {
  KIND_OPTION,
  KIND_OVERLAY,
  MTU_OPTION,
  VNI_OPTION,
} from "../../keeper/plugin/network-options.ts";
import { PLUGIN_NAME } from "../../keeper/protocol.ts";
import type { ContainerNetwork, RuntimeNetwork } from "../runtime.ts";
import { type Json, listOf, recordOf, stringOf } from "./decode.ts";
import type { EngineClient } from "./engine-client.ts";

/** Carried by the networks that Weft made; a network without it is a user's own. */
export const NETWORK_LABEL = "weft.network";
/** Carried by a user's overlay network: its id in the cluster. */
export const NETWORK_ID_LABEL = "weft.network.id";

interface EngineNetwork {
  readonly id: string;
  readonly driver: string;
  readonly ours: boolean;
  readonly ipamDriver: string;
  readonly subnets: readonly string[];
  readonly internal: boolean;
  readonly networkID: string | undefined;
  readonly options: Json;
  /** Names of those that are in it now. */
  readonly containers: readonly string[];
}

export class EngineNetworks {
  readonly #client: EngineClient;
  /** One at a time, or two tasks would make the same network twice: the Engine's names are not unique. */
  #tail: Promise<unknown> = Promise.resolve();
  /** Names of networks that the Engine has without the IPv6 subnet that they should have. */
  readonly #withoutIPv6 = new Set<string>();

  constructor(client: EngineClient) {
    this.#client = client;
  }

  ensure(network: RuntimeNetwork): Promise<void> {
    return this.#serially(async () => {
      const found = await this.#find(network.name);
      if (found !== undefined) {
        if (!found.ours) throw foreignNetworkError(network.name, found.driver);
        this.#withoutIPv6.delete(network.name);
        if (isAsWanted(found, network)) return;
        if (!(await this.#replace(found, network))) return;
      }
      await this.#client.call("POST", "/networks/create", { body: networkBody(network) });
    });
  }

  /** The addresses that a container can have there now. */
  addressesIn({ name, addresses }: ContainerNetwork): readonly string[] {
    if (!this.#withoutIPv6.has(name)) return addresses;
    return addresses.filter((address) => !isOfIPv6(address));
  }

  /** A user's container that is in it goes on without it. */
  remove(name: string): Promise<void> {
    return this.#serially(async () => {
      const found = await this.#find(name);
      if (found?.ours !== true) return;
      for (const container of found.containers) {
        const body = { Container: container, Force: true };
        // 404: the container, or the network, went meanwhile.
        const path = `/networks/${found.id}/disconnect`;
        await this.#client.call("POST", path, { body, harmless: [404] });
      }
      await this.#delete(found.id);
    });
  }

  sweep(isWanted: (name: string) => boolean): Promise<void> {
    return this.#serially(async () => {
      for (const name of await this.list()) {
        if (isWanted(name)) continue;
        const found = await this.#find(name);
        if (found?.ours === true) await this.#delete(found.id);
      }
    });
  }

  /** Names of all networks that Weft made. */
  async list(): Promise<readonly string[]> {
    const filters = JSON.stringify({ label: [NETWORK_LABEL] });
    const networks = listOf(
      await this.#client.call("GET", `/networks?filters=${encodeURIComponent(filters)}`),
    );
    return networks.map((network) => stringOf(recordOf(network)["Name"]) ?? "");
  }

  /**
   * Whether it is away. One of the same name that its managers have removed goes with its last container. One that lacks
   * nothing but IPv6, of before the mesh had it, stays meanwhile: containers that come do without.
   */
  async #replace(found: EngineNetwork, wanted: RuntimeNetwork): Promise<boolean> {
    try {
      await this.#delete(found.id);
      return true;
    } catch (error) {
      if (!(error instanceof ForbiddenError || error instanceof ConflictError)) throw error;
      const subnets = wanted.subnets.filter((subnet) => !isOfIPv6(subnet));
      if (isAsWanted(found, { ...wanted, subnets })) {
        this.#withoutIPv6.add(wanted.name);
        return false;
      }
      throw new UnavailableError("containers of the network before are still ending", {
        cause: error,
      });
    }
  }

  async #delete(id: string): Promise<void> {
    await this.#client.call("DELETE", `/networks/${id}`, { harmless: [404] });
  }

  async #find(name: string): Promise<EngineNetwork | undefined> {
    try {
      const answer = recordOf(
        await this.#client.call("GET", `/networks/${encodeURIComponent(name)}`),
      );
      // The Engine takes the beginning of an id for a name too.
      return answer["Name"] === name ? networkOf(answer) : undefined;
    } catch (error) {
      if (error instanceof NotFoundError) return undefined;
      throw error;
    }
  }

  #serially(work: () => Promise<void>): Promise<void> {
    const done = this.#tail.then(work);
    this.#tail = done.catch(() => {});
    return done;
  }
}

function networkOf(answer: unknown): EngineNetwork {
  const network = recordOf(answer);
  const ipam = recordOf(network["IPAM"]);
  return {
    id: stringOf(network["Id"]) ?? "",
    driver: stringOf(network["Driver"]) ?? "",
    ours: recordOf(network["Labels"])[NETWORK_LABEL] !== undefined,
    ipamDriver: stringOf(ipam["Driver"]) ?? "",
    subnets: listOf(ipam["Config"]).map((config) => stringOf(recordOf(config)["Subnet"]) ?? ""),
    internal: network["Internal"] === true,
    networkID: stringOf(recordOf(network["Labels"])[NETWORK_ID_LABEL]),
    options: recordOf(network["Options"]),
    containers: Object.values(recordOf(network["Containers"])).flatMap(
      (container) => stringOf(recordOf(container)["Name"]) ?? [],
    ),
  };
}

function isAsWanted(found: EngineNetwork, wanted: RuntimeNetwork): boolean {
  return (
    found.driver === PLUGIN_NAME &&
    found.ipamDriver === PLUGIN_NAME &&
    isDeepStrictEqual(found.subnets, wanted.subnets) &&
    found.networkID === wanted.overlay?.networkID &&
    found.internal === (wanted.overlay?.internal ?? false) &&
    isDeepStrictEqual(found.options, driverOptionsOf(wanted))
  );
}

function networkBody(network: RuntimeNetwork) {
  const { name, subnets, overlay } = network;
  const Config = subnets.map((subnet) => ({ Subnet: subnet }));
  const Options = overlay === undefined ? {} : { [KIND_OPTION]: KIND_OVERLAY };
  return {
    Name: name,
    CheckDuplicate: true,
    Driver: PLUGIN_NAME,
    Internal: overlay?.internal ?? false,
    EnableIPv6: subnets.some(isOfIPv6),
    IPAM: { Driver: PLUGIN_NAME, Options, Config },
    Options: driverOptionsOf(network),
    Labels: {
      [NETWORK_LABEL]: name,
      ...(overlay === undefined ? {} : { [NETWORK_ID_LABEL]: overlay.networkID }),
    },
  };
}

function driverOptionsOf({ overlay, mtu }: RuntimeNetwork): Readonly<Record<string, string>> {
  return {
    ...(overlay === undefined
      ? {}
      : { [KIND_OPTION]: KIND_OVERLAY, [VNI_OPTION]: String(overlay.vni) }),
    ...(mtu === undefined ? {} : { [MTU_OPTION]: String(mtu) }),
  };
}

function foreignNetworkError(name: string, driver: string): ConflictError {
  return new ConflictError(
    `network ${name} on this host's Docker Engine is not Weft's (driver ${driver}); remove it there so that Weft can make its own`,
  );
}
