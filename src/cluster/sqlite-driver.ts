/**
 * The driver for one manager: node:sqlite in WAL mode with synchronous FULL, so that a commit that
 * returned is on the disk whatever happens to the process or the machine. The file is locked for as long
 * as it is open: the kernel drops the lock with the process, so nothing stale is ever left.
 */
import { chmodSync, closeSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { ConflictError, messageOf, SystemError, UnavailableError } from "../base/errors.ts";
import type { Change, Revision, StoreEvent } from "./store.ts";
import {
  CHANGELOG_REVISIONS,
  RevisionConflict,
  type StoreDriver,
  type StoredObject,
  type StoredState,
} from "./store-driver.ts";

/** Counted up when older code could no longer read what is written. */
const SCHEMA_VERSION = 1;
/** Revisions between two compactions: each deletes this many rows' worth of log. */
const COMPACTION_INTERVAL = 1_000;
/** SQLite's primary result codes, in the low byte of the extended ones. */
const SQLITE_BUSY = 5;
const SQLITE_FULL = 13;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS objects (
    kind TEXT NOT NULL, id TEXT NOT NULL, json TEXT NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS changes (
    revision INTEGER NOT NULL, position INTEGER NOT NULL, action TEXT NOT NULL,
    kind TEXT NOT NULL, id TEXT NOT NULL, old TEXT, PRIMARY KEY (revision, position)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  UPDATE changes SET old = json_set(old, '$.spec.data', '')
    WHERE kind = 'secret' AND json_extract(old, '$.spec.data') <> '';
  INSERT OR IGNORE INTO meta VALUES ('schema', ${SCHEMA_VERSION}), ('revision', 0), ('compacted', 0);
`;

export interface SqliteDriverInit {
  readonly changelogRevisions?: number;
  readonly compactionInterval?: number;
}

export class SqliteDriver implements StoreDriver {
  readonly #database: DatabaseSync;
  readonly #statements: ReturnType<typeof prepareAll>;
  readonly #changelogRevisions: number;
  readonly #compactionInterval: number;
  readonly #path: string;
  #revision: Revision;
  #compacted: Revision;
  #open = true;

  /** Opens or makes the store in `directory`, which becomes root's alone. */
  constructor(directory: string, init: SqliteDriverInit = {}) {
    this.#changelogRevisions = init.changelogRevisions ?? CHANGELOG_REVISIONS;
    this.#compactionInterval = init.compactionInterval ?? COMPACTION_INTERVAL;
    this.#path = join(directory, "cluster.sqlite");
    makePrivate(directory, this.#path);
    this.#database = openLocked(this.#path);
    try {
      this.#statements = prepareAll(this.#database);
      checkSchema(this.#meta("schema"), this.#path);
      this.#revision = this.#meta("revision");
      this.#compacted = this.#meta("compacted");
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  async load(): Promise<StoredState> {
    const rows = this.#statements.objects.all();
    // Our own file, written by `commit` alone: its JSON is believed.
    const objects = rows.map(
      (row) => ({ kind: row["kind"], object: JSON.parse(String(row["json"])) }) as StoredObject,
    );
    return { revision: this.#revision, objects };
  }

  async commit(transactions: readonly StoreEvent[], base: Revision): Promise<void> {
    if (base !== this.#revision) throw new RevisionConflict();
    const last = transactions.at(-1);
    if (last === undefined) return;
    const compactTo = this.#compactionDue(last.revision);
    this.#durably(() => {
      for (const event of transactions) this.#append(event);
      this.#statements.setMeta.run("revision", last.revision);
      if (compactTo === undefined) return;
      this.#statements.compact.run(compactTo);
      this.#statements.setMeta.run("compacted", compactTo);
    });
    this.#revision = last.revision;
    this.#compacted = compactTo ?? this.#compacted;
    if (transactions.some(forgetsSecret)) this.#emptyWriteAheadLog();
  }

  async history(revision: Revision): Promise<readonly StoreEvent[] | undefined> {
    if (revision < this.#compacted) return undefined;
    // The log has what each change replaced: from what stands now, it is read backwards.
    const newer = new Map<string, unknown>();
    const events: { revision: Revision; changes: Change[] }[] = [];
    for (const row of this.#statements.history.iterate(revision)) {
      const { action, kind, id } = row;
      const key = `${String(kind)}/${String(id)}`;
      const after = newer.has(key) ? newer.get(key) : this.#stored(String(kind), String(id));
      const old = parsed(row["old"]);
      newer.set(key, old);
      const object = action === "remove" ? old : after;
      const change = { action, kind, object, ...(action === "update" ? { old } : {}) } as Change;
      const at = Number(row["revision"]);
      if (events.at(-1)?.revision !== at) events.push({ revision: at, changes: [] });
      events.at(-1)?.changes.push(change);
    }
    for (const { changes } of events) changes.reverse();
    return events.reverse();
  }

  /** Nobody else writes: the file is locked. */
  watch(_listener: () => void): () => void {
    return () => {};
  }

  async readSecrets(): Promise<ReadonlyMap<string, string>> {
    const rows = this.#statements.secrets.all();
    return new Map(rows.map((row) => [String(row["name"]), String(row["value"])]));
  }

  async writeSecret(name: string, value: string): Promise<void> {
    this.#durably(() => void this.#statements.setSecret.run(name, value));
  }

  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    this.#database.close();
  }

  #append(event: StoreEvent): void {
    event.changes.forEach(({ action, kind, object }, position) => {
      // Before the object is overwritten: the statement copies its old text into the log.
      this.#statements.log.run(event.revision, position, action, kind, object.id);
      if (action === "remove") this.#statements.remove.run(kind, object.id);
      else this.#statements.put.run(kind, object.id, JSON.stringify(object));
    });
  }

  #stored(kind: string, id: string): unknown {
    return parsed(this.#statements.object.get(kind, id)?.["json"]);
  }

  #compactionDue(revision: Revision): Revision | undefined {
    const target = revision - this.#changelogRevisions;
    return target - this.#compacted >= this.#compactionInterval ? target : undefined;
  }

  #durably(write: () => void): void {
    try {
      this.#database.exec("BEGIN");
      write();
      this.#database.exec("COMMIT");
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw writeError(this.#path, error);
    }
  }

  /** Pages as they were before are in it; the file itself is zeroed where something is deleted. */
  #emptyWriteAheadLog(): void {
    try {
      this.#database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    } catch {
      // A full disk: what was committed is durable all the same, and the next checkpoint takes the log along.
    }
  }

  #meta(name: string): number {
    return Number(this.#statements.meta.get(name)?.["value"]);
  }
}

function forgetsSecret({ changes }: StoreEvent): boolean {
  return changes.some(({ kind, action }) => kind === "secret" && action !== "create");
}

/** Text that this driver wrote, as the value it was; null is the absence of one. */
function parsed(json: unknown): unknown {
  return typeof json === "string" ? JSON.parse(json) : undefined;
}

function prepareAll(database: DatabaseSync) {
  database.exec(SCHEMA);
  const prepare = (sql: string): StatementSync => database.prepare(sql);
  return {
    objects: prepare("SELECT kind, json FROM objects"),
    put: prepare("INSERT OR REPLACE INTO objects VALUES (?, ?, ?)"),
    remove: prepare("DELETE FROM objects WHERE kind = ? AND id = ?"),
    object: prepare("SELECT json FROM objects WHERE kind = ? AND id = ?"),
    // A secret's value is in its object and nowhere else: what is removed is gone.
    log: prepare(
      `INSERT INTO changes VALUES (?1, ?2, ?3, ?4, ?5, (
        SELECT CASE WHEN kind = 'secret' THEN json_set(json, '$.spec.data', '') ELSE json END
        FROM objects WHERE kind = ?4 AND id = ?5))`,
    ),
    history: prepare(
      "SELECT * FROM changes WHERE revision > ? ORDER BY revision DESC, position DESC",
    ),
    compact: prepare("DELETE FROM changes WHERE revision <= ?"),
    meta: prepare("SELECT value FROM meta WHERE name = ?"),
    setMeta: prepare("INSERT OR REPLACE INTO meta VALUES (?, ?)"),
    secrets: prepare("SELECT name, value FROM secrets"),
    setSecret: prepare("INSERT OR REPLACE INTO secrets VALUES (?, ?)"),
  };
}

/** The file holds the CA's key: it is readable by its owner alone before the first byte is in it. */
function makePrivate(directory: string, path: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  chmodSync(directory, 0o700);
  closeSync(openSync(path, "a", 0o600));
  chmodSync(path, 0o600);
}

function openLocked(path: string): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    // Exclusive before WAL: the lock is then held until close, and the WAL index needs no shared memory.
    database.exec(
      "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON",
    );
    database.exec("BEGIN IMMEDIATE; COMMIT");
    return database;
  } catch (error) {
    database.close();
    if (resultCode(error) === SQLITE_BUSY) {
      throw new ConflictError(
        `the cluster store ${path} is in use by another process: stop the other weft daemon, or give this one its own --data-dir`,
        { cause: error },
      );
    }
    throw new SystemError(`cannot open the cluster store ${path}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

function checkSchema(found: number, path: string): void {
  if (found === SCHEMA_VERSION) return;
  throw new SystemError(
    `the cluster store ${path} has format ${found}, this weft reads format ${SCHEMA_VERSION}: install the version that wrote it`,
  );
}

function writeError(path: string, error: unknown): Error {
  const reason =
    resultCode(error) === SQLITE_FULL ? "the disk is full, make room" : messageOf(error);
  return new UnavailableError(`cannot write the cluster store ${path}: ${reason}`, {
    cause: error,
  });
}

function resultCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("errcode" in error)) return undefined;
  return typeof error.errcode === "number" ? error.errcode & 0xff : undefined;
}
