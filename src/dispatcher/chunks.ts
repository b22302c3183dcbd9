/** Cuts a set into frames. At least one chunk, so that an empty set is said too; an item heavier than the bound goes alone. */
export function chunksOf<T>(
  items: readonly T[],
  weightMax: number,
  weightOf: (item: T) => number,
): readonly (readonly T[])[] {
  const chunks: T[][] = [[]];
  let weight = 0;
  for (const item of items) {
    weight += weightOf(item);
    if (weight > weightMax && chunks.at(-1)?.length !== 0) {
      chunks.push([]);
      weight = weightOf(item);
    }
    chunks.at(-1)?.push(item);
  }
  return chunks;
}
