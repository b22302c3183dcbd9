/** Images on the local Engine: one that is there is good enough, else it is pulled with the user's credentials. */
import { messageOf, NotFoundError, SystemError, UnavailableError } from "../../base/errors.ts";
import type { EnsureImageInit } from "../runtime.ts";
import { type Json, recordOf, stringOf } from "./decode.ts";
import type { EngineClient } from "./engine-client.ts";
import {
  formatImageReference,
  type ImageReference,
  parseImageReference,
  pullTagOf,
} from "./image-reference.ts";
import { jsonLines } from "./json-lines.ts";

export async function ensureImage(
  client: EngineClient,
  image: string,
  init: EnsureImageInit,
): Promise<void> {
  if (await isImageLocal(client, image)) return;
  const reference = parseImageReference(image);
  try {
    await pull(client, reference, init);
  } catch (cause) {
    init.signal?.throwIfAborted();
    if (cause instanceof UnavailableError) throw cause;
    // Docker's words for the task; what the registry said goes with them, or nobody would ever see it.
    throw new NotFoundError(
      `No such image: ${formatImageReference(reference)} (${messageOf(cause)})`,
      { cause },
    );
  }
}

/** Asked with the name as written: it may as well be an image's id. */
async function isImageLocal(client: EngineClient, image: string): Promise<boolean> {
  try {
    await client.call("GET", `/images/${encodeURIComponent(image)}/json`);
    return true;
  } catch (error) {
    if (error instanceof NotFoundError) return false;
    throw error;
  }
}

async function pull(
  client: EngineClient,
  reference: ImageReference,
  init: EnsureImageInit,
): Promise<void> {
  const answer = await client.stream("POST", "/images/create", {
    query: { fromImage: reference.name, tag: pullTagOf(reference) },
    headers: init.registryAuth === undefined ? {} : { "X-Registry-Auth": init.registryAuth },
    ...(init.signal === undefined ? {} : { signal: init.signal }),
  });
  for await (const line of jsonLines(answer)) {
    const error = stringOf(line["error"]);
    if (error !== undefined) throw new SystemError(error);
    init.onProgress?.(progressText(line));
  }
  init.signal?.throwIfAborted();
}

/** One line of progress as Docker's CLI prints it. */
function progressText(line: Json): string {
  const layer = stringOf(line["id"]);
  const status = stringOf(line["status"]) ?? "";
  const { current, total } = recordOf(line["progressDetail"]) as {
    current?: unknown;
    total?: unknown;
  };
  const share =
    typeof current === "number" && typeof total === "number" && total > 0
      ? ` ${Math.floor((current / total) * 100)}%`
      : "";
  return `${layer === undefined ? "" : `${layer}: `}${status}${share}`;
}
