/** What will happen, in the order of time; at one instant in the order in which it was planned. */
export interface Planned {
  readonly at: number;
  readonly run: () => void;
}

interface Entry extends Planned {
  readonly order: number;
}

export class EventHeap {
  readonly #heap: Entry[] = [];
  #order = 0;

  push(at: number, run: () => void): void {
    const heap = this.#heap;
    const entry = { at, run, order: this.#order++ };
    let index = heap.push(entry) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent] as Entry;
      if (before(above, entry)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = entry;
  }

  /** Takes the next event when it is due by `until`. */
  pop(until: number): Planned | undefined {
    const heap = this.#heap;
    const first = heap[0];
    if (first === undefined || first.at > until) return undefined;
    const last = heap.pop() as Entry;
    if (heap.length > 0) this.#sink(last);
    return first;
  }

  #sink(entry: Entry): void {
    const heap = this.#heap;
    let index = 0;
    for (;;) {
      let child = index * 2 + 1;
      const left = heap[child];
      const right = heap[child + 1];
      if (left === undefined) break;
      if (right !== undefined && before(right, left)) child++;
      const smaller = heap[child] as Entry;
      if (before(entry, smaller)) break;
      heap[index] = smaller;
      index = child;
    }
    heap[index] = entry;
  }
}

function before(a: Entry, b: Entry): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
