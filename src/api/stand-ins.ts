/**
 * The Engine's local networks that stand in for the cluster's. One has the name of its network, but an id, a driver and
 * prefix lengths of its own, which no user is to meet: what the Engine says of them is put in the cluster's words.
 */
import type { Network } from "../cluster/objects.ts";
import { NETWORK_ID_LABEL, NETWORK_LABEL } from "../runtime/docker/networks.ts";
import type { ApiCall } from "./call.ts";
import type { Filters } from "./filters.ts";
import { parseJson } from "./wire/json.ts";

/** The Engine's name for the network driver that Weft's keeper is. */
export const WEFT_DRIVER = "weft";
/** Stand-ins that are remembered; of more the oldest is forgotten, and found again by its name. */
const IDS_MAX = 1_000;

type Json = Readonly<Record<string, unknown>>;

export class StandIns {
  /** The cluster's, as far as this node knows them. */
  readonly #networks: readonly Network[];
  /** Ids of the cluster's networks, by those of the Engine. */
  readonly #ids: Map<string, string>;
  /** Ids of the Engine's own networks. */
  readonly #own: ReadonlySet<string>;

  /** `local`: the Engine's list of its networks. */
  constructor(networks: readonly Network[], local: readonly unknown[]) {
    this.#networks = networks;
    const listed = local.map(recordOf);
    const isOurs = ({ Labels }: Json) => Object.hasOwn(recordOf(Labels), NETWORK_LABEL);
    this.#own = new Set(listed.filter((each) => !isOurs(each)).map(({ Id }) => textOf(Id)));
    const ids = listed.filter(isOurs).flatMap(({ Id, Name, Labels }) => {
      // The ingress network's has no label with an id, and each cluster has one of that name.
      const id = textOf(recordOf(Labels)[NETWORK_ID_LABEL]) || named(networks, textOf(Name))?.id;
      return id === undefined ? [] : [[textOf(Id), id] as const];
    });
    this.#ids = new Map(ids);
  }

  /** Asks the Engine for its networks; none of them stands in for another on a node of no cluster. */
  static async read({ context, signal }: ApiCall): Promise<StandIns> {
    const { backend, engine } = context;
    if (backend.status().state === "inactive") return new StandIns([], []);
    const answer = await engine.get("/networks", signal);
    const local: unknown = answer.status === 200 ? parseJson(answer.body.toString("utf8")) : [];
    return new StandIns(backend.networks(), Array.isArray(local) ? local : []);
  }

  /**
   * The id of the cluster's network behind one of the Engine's; undefined for one of its own. One that was made since is
   * known by its name among `networks`, and remembered.
   */
  idOf(localID: string, name: string, networks = this.#networks): string | undefined {
    if (localID === "" || this.#own.has(localID)) return undefined;
    const known = this.#ids.get(localID);
    if (known !== undefined) return known;
    // What an ended container was on may be gone from the Engine.
    const id = named(networks, name)?.id;
    if (id === undefined) return undefined;
    this.#ids.delete([...this.#ids.keys()].at(-IDS_MAX) ?? "");
    this.#ids.set(localID, id);
    return id;
  }

  get isEmpty(): boolean {
    return this.#networks.length === 0 && this.#ids.size === 0;
  }

  /** A container, listed or inspected, with the cluster's ids and prefix lengths; itself where it is on none of its networks. */
  container(container: unknown): unknown {
    const settings = recordOf(recordOf(container)["NetworkSettings"]);
    const networks = Object.entries(recordOf(settings["Networks"]));
    const shown = networks.map(([name, endpoint]) => [name, this.#endpoint(name, endpoint)]);
    if (shown.every(([, endpoint], index) => endpoint === networks[index]?.[1])) return container;
    const Networks = Object.fromEntries(shown) as Json;
    return { ...recordOf(container), NetworkSettings: { ...settings, Networks } };
  }

  #endpoint(name: string, endpoint: unknown): unknown {
    const given = recordOf(endpoint);
    const id = this.idOf(textOf(given["NetworkID"]), name);
    if (id === undefined) return endpoint;
    const network = this.#networks.find((each) => each.id === id);
    return {
      ...given,
      NetworkID: id,
      ...prefixLength(given, "IPAddress", "IPPrefixLen", subnetOf(network, false)),
      ...prefixLength(given, "GlobalIPv6Address", "GlobalIPv6PrefixLen", subnetOf(network, true)),
    };
  }
}

function named(networks: readonly Network[], name: string): Network | undefined {
  return networks.find(({ spec }) => spec.name === name);
}

/** Values of a filter by network that the Engine understands as they are meant: it has other ids, and the same names. */
export function localValues(networks: readonly Network[], filters: Filters): readonly string[] {
  const values = filters.get("network");
  const meant = networks.filter(({ id }) =>
    values.some((value) => value !== "" && id.startsWith(value)),
  );
  return [...new Set([...values, ...meant.map(({ spec }) => spec.name)])];
}

/** On the host an address stands alone (/32); users know it with its subnet's length. */
function prefixLength(given: Json, address: string, key: string, subnet: string | undefined): Json {
  const isGiven = textOf(given[address]) !== "" && typeof given[key] === "number";
  return isGiven && subnet !== undefined ? { [key]: Number(subnet.split("/")[1]) } : {};
}

function subnetOf(network: Network | undefined, isIPv6: boolean): string | undefined {
  const subnets = network?.ipam.config.map(({ subnet }) => subnet) ?? [];
  return subnets.find((subnet) => subnet.includes(":") === isIPv6);
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function recordOf(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Json)
    : {};
}
