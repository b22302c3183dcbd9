/** How the rest of the program gets a store. */
import { join } from "node:path";
import { type Clock, systemClock } from "../base/clock.ts";
import { type Logger, silentLogger } from "../base/logger.ts";
import type { Meters } from "../base/meters.ts";
import { DriverStore } from "./driver-store.ts";
import { MemoryDriver } from "./memory-driver.ts";
import { SqliteDriver } from "./sqlite-driver.ts";
import type { Store } from "./store.ts";

export interface OpenStoreInit {
  readonly dataDir: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly meters?: Meters;
}

/** Where below the data directory the store's files are; deleting it forgets the cluster. */
export function storeDirectory(dataDir: string): string {
  return join(dataDir, "store");
}

/** Opens, or makes, the durable store of one manager. A data directory is open once at a time. */
export async function openStore(init: OpenStoreInit): Promise<Store> {
  const driver = new SqliteDriver(storeDirectory(init.dataDir));
  const { clock, log, meters } = init;
  const measuring = meters === undefined ? {} : { meters };
  const components = { driver, clock, log: log.child("store"), ...measuring };
  return new DriverStore(components, await driver.load(), await driver.readSecrets());
}

/** A store that is gone with the process, for tests and simulations. */
export function createMemoryStore(init: { readonly clock?: Clock } = {}): Store {
  const driver = new MemoryDriver();
  const components = { driver, clock: init.clock ?? systemClock, log: silentLogger };
  return new DriverStore(components, driver.state, new Map());
}
