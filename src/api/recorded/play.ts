/** Puts the recorded cases to whoever answers on a socket: an Engine when they are recorded, Weft when it is tested. */
import { ask } from "../fake-engine.ts";
import { CASES, type Case, SETUP } from "./cases.ts";

export interface Refusal {
  readonly request: string;
  readonly status: number;
  /** What the answer says; ids are `<id>`. */
  readonly message: string;
}

/** Asks all of it; the swarm must be fresh, with one node. */
export async function playCases(host: string): Promise<readonly Refusal[]> {
  for (const each of SETUP) {
    const { status, message } = await play(host, each);
    if (status !== 201) throw new Error(`the setup was refused: ${message}`);
  }
  const refusals: Refusal[] = [];
  for (const each of CASES) refusals.push(await play(host, each));
  return refusals;
}

async function play(host: string, { method, path, body }: Case): Promise<Refusal> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const answer = await ask(host, await resolve(host, path), {
    method,
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    ...(text === undefined ? {} : { body: text }),
  });
  const said = answer.json as { readonly message?: string } | undefined;
  return {
    request: `${method} ${path}${text === undefined ? "" : ` ${text}`}`,
    status: answer.status,
    message: (said?.message ?? answer.text).replaceAll(/\b[a-z0-9]{25}\b/g, "<id>"),
  };
}

async function resolve(host: string, path: string): Promise<string> {
  if (!path.includes("{")) return path;
  const at = async (url: string) => (await ask(host, url)).json as Resource;
  const [member] = (await at("/nodes")) as unknown as readonly Resource[];
  const web = await at("/services/web");
  const swarm = await at("/swarm");
  return path
    .replace("{web}", String(web.Version.Index))
    .replace("{node}", String(member?.Version.Index))
    .replace("{swarm}", String(swarm.Version.Index))
    .replace("{nodeID}", member?.ID ?? "");
}

interface Resource {
  readonly ID: string;
  readonly Version: { readonly Index: number };
}
