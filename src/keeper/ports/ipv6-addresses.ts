/** The host's own IPv6 addresses, as the kernel lists them, and when they change. */
import { readFileSync } from "node:fs";
import type { Clock, Timer } from "../../base/clock.ts";
import { ipv6OfDigits } from "../../base/ip-address.ts";
import { INNER_LINK } from "../uplink.ts";

/** How soon a new address is noticed. Node has no socket that would tell. */
const SCAN_MS = 1_000;

const LINK_SCOPE = 0x20;
/** Not usable yet, or never: duplicate address detection runs (IFA_F_TENTATIVE) or failed (IFA_F_DADFAILED). */
const UNUSABLE = 0x40 | 0x08;

/** From /proc/net/if_inet6, in the form that sockets take and give. Link-local ones only where a link leads out of the host. */
export function parseAddresses(table: string): readonly string[] {
  return table.split("\n").flatMap((line) => {
    const [digits, , , scope, flags, link = ""] = line.trim().split(/\s+/);
    if (digits?.length !== 32 || (Number.parseInt(flags ?? "", 16) & UNUSABLE) !== 0) return [];
    const address = ipv6OfDigits(digits);
    if (Number.parseInt(scope ?? "", 16) !== LINK_SCOPE) return [address];
    return INNER_LINK.test(link) ? [] : [`${address}%${link}`];
  });
}

function readTable(): string {
  try {
    return readFileSync("/proc/net/if_inet6", "utf8");
  } catch {
    return ""; // this kernel has no IPv6
  }
}

/** One scan for all who want to know; none when nobody does. */
export class IPv6Addresses {
  readonly #clock: Clock;
  readonly #read: () => string;
  readonly #listeners = new Set<() => void>();
  #seen = "";
  #timer: Timer | undefined;

  constructor(clock: Clock, read: () => string = readTable) {
    this.#clock = clock;
    this.#read = read;
  }

  current(): readonly string[] {
    return parseAddresses(this.#read());
  }

  /** Calls the listener after each change; returns what ends it. */
  subscribe(listener: () => void): () => void {
    if (this.#listeners.size === 0) this.#seen = this.#read();
    this.#listeners.add(listener);
    this.#timer ??= this.#next();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      this.#timer?.cancel();
      this.#timer = undefined;
    };
  }

  #next(): Timer {
    return this.#clock.timer("keeper.addresses.scan", SCAN_MS, () => {
      this.#timer = this.#next();
      const table = this.#read();
      if (table === this.#seen) return;
      this.#seen = table;
      for (const listener of this.#listeners) listener();
    });
  }
}
