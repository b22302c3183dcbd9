/** Several streams as one, in the order of arrival; from each at most one value waits for the reader. */
export async function* merge<Value>(
  streams: readonly AsyncIterable<Value>[],
): AsyncIterable<Value> {
  const iterators = streams.map((stream) => stream[Symbol.asyncIterator]());
  const ask = async (iterator: AsyncIterator<Value>) => ({
    iterator,
    result: await iterator.next(),
  });
  const waiting = new Map(iterators.map((iterator) => [iterator, ask(iterator)]));
  try {
    while (waiting.size > 0) {
      const { iterator, result } = await Promise.race(waiting.values());
      if (result.done === true) {
        waiting.delete(iterator);
      } else {
        yield result.value;
        waiting.set(iterator, ask(iterator));
      }
    }
  } finally {
    // The reader has gone: what is asked for still answers, and nobody is there to hear a failure.
    for (const asked of waiting.values()) asked.catch(() => {});
    for (const iterator of waiting.keys()) void iterator.return?.().catch(() => {});
  }
}
