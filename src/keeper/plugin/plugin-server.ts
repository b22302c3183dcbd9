/** The Engine's side of the keeper: the plugin socket. Each call is answered from the keeper's own state. */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { messageOf } from "../../base/errors.ts";
import type { Logger } from "../../base/logger.ts";
import { parseObject } from "../decode.ts";
import { readBody, sendJSON } from "../http-body.ts";
import { createServer } from "../node-http.ts";
import { decodeRequest, type PluginRequest } from "./requests.ts";

const MEDIA_TYPE = "application/vnd.docker.plugins.v1.2+json";

export interface PluginServerComponents {
  readonly log: Logger;
  readonly answer: (request: PluginRequest) => Promise<Readonly<Record<string, unknown>>>;
}

export function createPluginServer(components: PluginServerComponents): Server {
  const server = createServer((request, response) => void serve(components, request, response));
  // The Engine keeps its connections; one closed under its next call would cost it a retry.
  server.keepAliveTimeout = 0;
  return server;
}

/**
 * A refusal is an answer too, whose text the Engine shows to its user. Only an unknown path
 * has another status, because the Engine asks for some to find out whether they exist.
 */
async function serve(
  { log, answer }: PluginServerComponents,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = request.url ?? "/";
  try {
    const decoded = decodeRequest(path, parseObject(await readBody(request), "the request"));
    if (decoded === undefined) {
      return sendJSON(response, 404, refusal(`Weft's plugin has no ${path}`), MEDIA_TYPE);
    }
    sendJSON(response, 200, await answer(decoded), MEDIA_TYPE);
    log.debug("answered the Engine", { path });
  } catch (error) {
    log.warn("refused a call of the Engine", { path, error });
    sendJSON(response, 200, refusal(messageOf(error)), MEDIA_TYPE);
  }
}

/** The Engine reads `Err` of a network driver and `Error` of an IPAM driver. */
function refusal(text: string) {
  return { Err: text, Error: text };
}
