/** Several streams as one, in the order of arrival; from each at most one value waits for the reader. */
export async function* merge<Value>(
  streams: readonly AsyncIterable<Value>[],
): AsyncIterable<Value> {
  const iterators = streams.map((stream) => stream[Symbol.asyncIterator]());
  const arrived: (() => Arrival<Value>)[] = [];
  let wake = Promise.withResolvers<void>();
  const arrive = (arrival: () => Arrival<Value>) => {
    arrived.push(arrival);
    wake.resolve();
  };
  // No Promise.race over them: a stream that is silent for days would gather a reaction for each line of the others.
  const ask = (iterator: AsyncIterator<Value>) => {
    iterator.next().then(
      (result) => arrive(() => ({ iterator, result })),
      (error: unknown) =>
        arrive(() => {
          throw error;
        }),
    );
  };
  for (const iterator of iterators) ask(iterator);
  try {
    for (let open = iterators.length; open > 0; ) {
      const arrival = arrived.shift();
      if (arrival === undefined) {
        await wake.promise;
        wake = Promise.withResolvers();
        continue;
      }
      const { iterator, result } = arrival();
      if (result.done === true) {
        open -= 1;
      } else {
        yield result.value;
        ask(iterator);
      }
    }
  } finally {
    for (const iterator of iterators) void iterator.return?.().catch(() => {});
  }
}

interface Arrival<Value> {
  readonly iterator: AsyncIterator<Value>;
  readonly result: IteratorResult<Value>;
}
