/**
 * An immutable map by string key with structural sharing: `set` and `delete` copy one path of a hash
 * trie and share the rest, so a snapshot of 10,000 tasks costs nothing and a write of one task O(log n).
 */

/** Entries of a leaf before it is split into a branch; the collisions left at the last level share one leaf. */
const LEAF_SIZE_MAX = 16;
const BITS_PER_LEVEL = 5;
const BRANCH_WIDTH = 1 << BITS_PER_LEVEL;
const LEVELS_MAX = 6;

type Leaf<V> = ReadonlyMap<string, V>;
type Branch<V> = readonly (Trie<V> | undefined)[];
type Trie<V> = Leaf<V> | Branch<V>;

export class PersistentMap<V> {
  readonly size: number;
  readonly #root: Trie<V>;
  #values: readonly V[] | undefined;

  private constructor(root: Trie<V>, size: number) {
    this.#root = root;
    this.size = size;
  }

  static empty<V>(): PersistentMap<V> {
    return new PersistentMap<V>(new Map(), 0);
  }

  get(key: string): V | undefined {
    const hash = hashOf(key);
    let trie: Trie<V> | undefined = this.#root;
    for (let level = 0; trie !== undefined; level++) {
      if (!isBranch(trie)) return trie.get(key);
      trie = trie[slotOf(hash, level)];
    }
    return undefined;
  }

  set(key: string, value: V): PersistentMap<V> {
    const isNew = this.get(key) === undefined;
    const root = insert(this.#root, hashOf(key), 0, key, value);
    return new PersistentMap(root, this.size + (isNew ? 1 : 0));
  }

  delete(key: string): PersistentMap<V> {
    if (this.get(key) === undefined) return this;
    if (this.size === 1) return PersistentMap.empty();
    const root = remove(this.#root, hashOf(key), 0, key) ?? new Map<string, V>();
    return new PersistentMap(root, this.size - 1);
  }

  /** In no promised order; made once and kept, so that asking twice is free. */
  values(): readonly V[] {
    if (this.#values === undefined) {
      const values: V[] = [];
      collect(this.#root, values);
      this.#values = values;
    }
    return this.#values;
  }
}

function isBranch<V>(trie: Trie<V>): trie is Branch<V> {
  return Array.isArray(trie);
}

function slotOf(hash: number, level: number): number {
  return (hash >>> (level * BITS_PER_LEVEL)) & (BRANCH_WIDTH - 1);
}

function insert<V>(
  trie: Trie<V> | undefined,
  hash: number,
  level: number,
  key: string,
  value: V,
): Trie<V> {
  if (trie === undefined) return new Map([[key, value]]);
  if (isBranch(trie)) {
    const copy = trie.slice();
    const slot = slotOf(hash, level);
    copy[slot] = insert(trie[slot], hash, level + 1, key, value);
    return copy;
  }
  const copy = new Map(trie);
  copy.set(key, value);
  return copy.size > LEAF_SIZE_MAX && level < LEVELS_MAX ? split(copy, level) : copy;
}

function split<V>(leaf: Leaf<V>, level: number): Branch<V> {
  const parts = new Array<Map<string, V> | undefined>(BRANCH_WIDTH).fill(undefined);
  for (const [key, value] of leaf) {
    const slot = slotOf(hashOf(key), level);
    (parts[slot] ??= new Map()).set(key, value);
  }
  return parts;
}

function remove<V>(trie: Trie<V>, hash: number, level: number, key: string): Trie<V> | undefined {
  if (isBranch(trie)) {
    const slot = slotOf(hash, level);
    const child = trie[slot];
    if (child === undefined) return trie;
    const copy = trie.slice();
    copy[slot] = remove(child, hash, level + 1, key);
    return copy.some((each) => each !== undefined) ? copy : undefined;
  }
  const copy = new Map(trie);
  copy.delete(key);
  return copy.size > 0 ? copy : undefined;
}

function collect<V>(trie: Trie<V>, into: V[]): void {
  if (!isBranch(trie)) {
    for (const value of trie.values()) into.push(value);
    return;
  }
  for (const child of trie) if (child !== undefined) collect(child, into);
}

/** FNV-1a, 32 bits. */
function hashOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  // The low bits choose the first level: fold the better mixed high ones in.
  return (hash ^ (hash >>> 15)) >>> 0;
}
