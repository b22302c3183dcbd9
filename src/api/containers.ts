/** Containers as the Engine lists and describes them, on the cluster's networks by these' own ids. */
import type { Answer, ApiCall } from "./call.ts";
import { Filters, readFilters } from "./filters.ts";
import { localValues, StandIns } from "./stand-ins.ts";
import { parseJson } from "./wire/json.ts";

export async function listContainers(call: ApiCall): Promise<Answer> {
  return await rewritten(call, withLocalNetworks(call), (containers, standIns) => {
    if (!Array.isArray(containers)) return containers;
    const shown = containers.map((container) => standIns.container(container));
    return shown.every((each, index) => each === containers[index]) ? containers : shown;
  });
}

export async function inspectContainer(call: ApiCall): Promise<Answer> {
  return await rewritten(call, call.url, (container, standIns) => standIns.container(container));
}

/** Where nothing is to be put otherwise the Engine's own bytes: numbers of 64 bits pass through no JavaScript. */
async function rewritten(
  call: ApiCall,
  url: string,
  rewrite: (value: unknown, standIns: StandIns) => unknown,
): Promise<Answer> {
  const { engine } = call.context;
  const standIns = await StandIns.read(call);
  if (standIns.isEmpty) {
    await engine.forward(call.request, call.response, url);
    return undefined;
  }
  const { status, headers, body } = await engine.get(url, call.signal);
  const value: unknown = status === 200 ? parseJson(body.toString("utf8")) : undefined;
  const shown = rewrite(value, standIns);
  if (shown !== value) return { status, body: shown };
  const type = headers["content-type"] ?? "application/json";
  call.response.writeHead(status, { "Content-Type": type, "Content-Length": body.length });
  call.response.end(body);
  return undefined;
}

/** The request's path; a filter by a network of the cluster's names it as the Engine knows it too. */
export function withLocalNetworks({ context, query, url }: ApiCall): string {
  let filters: ReadonlyMap<string, readonly string[]>;
  try {
    filters = readFilters(query);
  } catch {
    // Whatever is wrong with it, the Engine says.
    return url;
  }
  const network = localValues(context.backend.networks(), new Filters(filters));
  if (network.length === (filters.get("network") ?? []).length) return url;
  const translated = new URL(url, "http://weft");
  const all = { ...Object.fromEntries(filters), network };
  translated.searchParams.set("filters", JSON.stringify(all));
  return `${translated.pathname}${translated.search}`;
}
