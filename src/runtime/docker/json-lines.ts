/** Streams of JSON objects, as the Engine's events and pull progress are: one object a line. */
import { StringDecoder } from "node:string_decoder";
import { SystemError } from "../../base/errors.ts";
import { type Json, recordOf } from "./decode.ts";

/** A longer line ends the stream as an error: it is no event of an Engine's. */
const MAX_LINE_CHARACTERS = 4 * 1024 * 1024;

export async function* jsonLines(chunks: AsyncIterable<Uint8Array>): AsyncIterable<Json> {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  for await (const chunk of chunks) {
    rest += decoder.write(Buffer.from(chunk));
    if (rest.length > MAX_LINE_CHARACTERS) {
      throw new SystemError("a line of the Docker Engine's answer is too long");
    }
    const lines = rest.split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line.trim() !== "") yield parseLine(line);
  }
  if (rest.trim() !== "") yield parseLine(rest);
}

function parseLine(line: string): Json {
  try {
    return recordOf(JSON.parse(line));
  } catch (cause) {
    throw new SystemError("a line of the Docker Engine's answer is not JSON", { cause });
  }
}
