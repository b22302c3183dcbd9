/** Names of services that the user did not name, and when two names are one. */
import { type Random, randomBelow } from "../base/random.ts";

const QUALITIES =
  "able airy amber azure brave brisk calm clear crisp dense eager early even fair fast firm fond free fresh glad grand green keen kind late light lively loyal lucid mild neat noble plain prime proud quick quiet rapid ready round sharp silent sleek smooth solid still stout sunny swift tidy true vivid warm wise".split(
    " ",
  );
const THINGS =
  "anchor arch beacon bell birch bobbin bridge brook canal canvas cedar cliff cloth compass coral cove crane delta dune elm ember fern field fjord flax forge grove harbor heath heddle heron island jetty kite lantern larch ledge linen loom maple meadow mill moor oak orchard pearl pier pine plain pond quarry reed reef ridge river sail shuttle silk slope spindle spruce stream thread tide tower valley warp wharf willow yarn".split(
    " ",
  );

/** A readable name; `taken` says which are not free. A number makes it unique where the words do not. */
export function inventName(random: Random, taken: (name: string) => boolean): string {
  const pick = (words: readonly string[]) => words[randomBelow(random, words.length)];
  const name = `${pick(QUALITIES)}_${pick(THINGS)}`;
  if (!taken(name)) return name;
  for (let number = 2; ; number += 1) {
    if (!taken(`${name}${number}`)) return `${name}${number}`;
  }
}

/** Names differ by more than the case of their letters. */
export function isNamedLike(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}
