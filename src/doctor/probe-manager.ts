/** Whether a manager's port answers, and what time it is there: the date that every answer over HTTP/2 carries. */
import { connect } from "node:http2";
import { messageOf } from "../base/errors.ts";
import type { ManagerFacts } from "./facts.ts";

const ANSWER_MS = 3_000;

/** Shows no certificate and believes none: nothing is told, and nothing but the date is taken. */
export async function probeManager(addr: string): Promise<ManagerFacts> {
  try {
    const date = await dateOf(addr);
    if (date === undefined) return { addr };
    // The date is cut to whole seconds: half a second is the best guess of the rest.
    return { addr, skewMs: Date.parse(date) + 500 - Date.now() };
  } catch (error) {
    return { addr, error: messageOf(error) };
  }
}

function dateOf(addr: string): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const session = connect(`https://${addr}`, {
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
    });
    const end = (settle: () => void) => {
      clearTimeout(timer);
      session.destroy();
      settle();
    };
    const timer = setTimeout(
      () => end(() => reject(new Error(`no answer within ${ANSWER_MS} ms`))),
      ANSWER_MS,
    );
    session.once("error", (error) => end(() => reject(error)));
    session.once("connect", () => {
      const stream = session.request({
        ":method": "POST",
        ":path": "/weft.Doctor/Date",
        "content-type": "application/grpc",
      });
      stream.once("response", (headers) => end(() => resolve(headers.date)));
      stream.once("error", (error) => end(() => reject(error)));
      stream.end();
    });
  });
}
