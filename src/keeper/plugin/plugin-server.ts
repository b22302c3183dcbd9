/** The Engine's side of the keeper: the plugin socket. Each call is answered from the keeper's own state. */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { messageOf } from "../../base/errors.ts";
import type { Logger } from "../../base/logger.ts";
import { createServer, request as httpRequest } from "../../base/node-http.ts";
import { parseObject } from "../decode.ts";
import { readBody, sendJSON } from "../http-body.ts";
import { HandedOverError } from "../state-keeper.ts";
import { decodeRequest, type PluginRequest } from "./requests.ts";

const MEDIA_TYPE = "application/vnd.docker.plugins.v1.2+json";

export interface PluginServerComponents {
  readonly log: Logger;
  /** Where the plugin is reached: by a keeper that was taken over, for the calls it still has. */
  readonly socketPath: string;
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
  components: PluginServerComponents,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { log, answer } = components;
  const path = request.url ?? "/";
  let body = "";
  try {
    body = await readBody(request);
    const decoded = decodeRequest(path, parseObject(body, "the request"));
    if (decoded === undefined) {
      return sendJSON(response, 404, refusal(`Weft's plugin has no ${path}`), MEDIA_TYPE);
    }
    sendJSON(response, 200, await answer(decoded), MEDIA_TYPE);
    log.debug("answered the Engine", { path });
  } catch (error) {
    if (error instanceof HandedOverError) return forward(components, { path, body }, response);
    log.warn("refused a call of the Engine", { path, error });
    sendJSON(response, 200, refusal(messageOf(error)), MEDIA_TYPE);
  }
}

/** The Engine's next call shall be the new keeper's own: this connection ends with the answer. */
function forward(
  { socketPath }: PluginServerComponents,
  { path, body }: { readonly path: string; readonly body: string },
  response: ServerResponse,
): void {
  const onward = httpRequest({ socketPath, path, method: "POST", agent: false }, (answer) => {
    response.writeHead(answer.statusCode ?? 500, {
      "Content-Type": MEDIA_TYPE,
      Connection: "close",
    });
    answer.pipe(response);
  });
  onward.on("error", () => response.destroy());
  onward.end(body);
}

/** The Engine reads `Err` of a network driver and `Error` of an IPAM driver. */
function refusal(text: string) {
  return { Err: text, Error: text };
}
