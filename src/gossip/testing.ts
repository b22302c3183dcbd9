/** Factories for tests of what nodes say to each other. */
import type { EndpointWord, SaidEndpoint } from "./endpoint-news.ts";

/** Endpoints, by what is said of them; one that is not gone is at an address made from its place in the list. */
export function said(
  words: Readonly<Partial<Record<EndpointWord, readonly string[]>>>,
): readonly SaidEndpoint[] {
  const all = Object.entries(words) as [EndpointWord, readonly string[]][];
  return all.flatMap(([word, taskIDs]) =>
    taskIDs.map((taskID, index) => ({
      taskID,
      word,
      places: word === "gone" ? [] : [{ vni: 4_096, address: `10.255.0.${(index % 200) + 9}` }],
      ports: [],
      ipv6Ports: [],
    })),
  );
}
