/** What turns one keyed set into another: how assignments and mesh travel, and how both ends keep them. */
export interface KeyedDelta<V> {
  readonly put: readonly V[];
  readonly remove: readonly string[];
}

/** applyDelta(before, diffKeyed(before, after)) equals `after`; empty when they agree. */
export function diffKeyed<V>(
  before: ReadonlyMap<string, V>,
  after: ReadonlyMap<string, V>,
  isSame: (a: V, b: V) => boolean = Object.is,
): KeyedDelta<V> {
  const put: V[] = [];
  for (const [key, value] of after) {
    const old = before.get(key);
    if (old === undefined || !isSame(old, value)) put.push(value);
  }
  const remove = [...before.keys()].filter((key) => !after.has(key));
  return { put, remove };
}

export function isEmptyDelta(delta: KeyedDelta<unknown>): boolean {
  return delta.put.length === 0 && delta.remove.length === 0;
}

export function applyDelta<V>(
  before: ReadonlyMap<string, V>,
  delta: KeyedDelta<V>,
  keyOf: (value: V) => string,
): ReadonlyMap<string, V> {
  const after = new Map(before);
  for (const key of delta.remove) after.delete(key);
  for (const value of delta.put) after.set(keyOf(value), value);
  return after;
}
