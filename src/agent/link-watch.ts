/**
 * Finds local tasks that somebody has cut off: the host's end of their network link was deleted, and no one but the
 * Engine can make another. A container that ends takes its link along a moment before the Engine says so, hence
 * the second look.
 */
import type { Clock, Timer } from "../base/clock.ts";
import type { Startable } from "../base/lifecycle.ts";
import type { Task } from "../cluster/objects.ts";
import { placeInOverlay } from "../datapath/overlay/view.ts";
import type { MeshConfig } from "../dispatcher/assignment.ts";

/** Between two looks: a link that is away at both is gone. */
const LOOK_MS = 500;

export interface LinkWatchComponents {
  /** Addresses of local tasks whose link is not there, of those that the kernel was told of last; as `placesOf` has them. */
  readonly lostAddresses: () => Promise<readonly string[]>;
  readonly clock: Clock;
  /** One more task is cut off. */
  readonly onCutOff: () => void;
}

export class LinkWatch implements Startable {
  readonly #components: LinkWatchComponents;
  #timer: Timer | undefined;
  #look: Promise<void> = Promise.resolve();
  #stopped = false;
  #missing: ReadonlySet<string> = new Set();
  #cutOff: ReadonlySet<string> = new Set();

  constructor(components: LinkWatchComponents) {
    this.#components = components;
  }

  /** Whether the task with this address, one of its `placesOf`, has lost its link for good. */
  isCutOff(place: string): boolean {
    return this.#cutOff.has(place);
  }

  start(): void {
    this.#timer = this.#components.clock.timer("link-watch", LOOK_MS, () => {
      this.#look = this.#lookOnce()
        // Links that cannot be listed now are listed at the next look.
        .catch(() => {})
        .then(() => {
          if (!this.#stopped) this.start();
        });
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#look;
  }

  async #lookOnce(): Promise<void> {
    const lost = await this.#components.lostAddresses();
    const cutOff = new Set(lost.filter((address) => this.#missing.has(address)));
    const isNews = [...cutOff].some((address) => !this.#cutOff.has(address));
    this.#missing = new Set(lost);
    this.#cutOff = cutOff;
    if (isNews) this.#components.onCutOff();
  }
}

/** Where a task is, one for each of its links: as the datapath names the addresses whose link it misses. */
export function placesOf(task: Task, mesh: MeshConfig | undefined): readonly string[] {
  return task.networksAttachments.flatMap(({ network, addresses }) => {
    const address = addresses[0]?.split("/")[0];
    if (address === undefined || network.overlay !== true) return address ?? [];
    const vni = mesh?.networks.find(({ networkID }) => networkID === network.id)?.vni;
    return vni === undefined ? [] : placeInOverlay(vni, address);
  });
}
