/**
 * Container logs on the wire. Without a TTY the Engine frames what was written: one byte for the stream,
 * three empty ones, the length as a big-endian 32-bit integer, the bytes. With a TTY it is what the
 * terminal showed; that is cut into lines here, so that each frame begins with its timestamp either way.
 */
import { SystemError } from "../../base/errors.ts";
import type { LogFrame } from "../runtime.ts";

const HEADER_BYTES = 8;
const STDERR = 2;
/** Above this a header is taken for garbage, not for a length: the Engine cuts lines at 16 KiB. */
const MAX_FRAME_BYTES = 16 * 1024 * 1024;
/** A terminal's line longer than this is passed on in pieces. */
const MAX_LINE_BYTES = 64 * 1024;
const NEWLINE = 10;

/** Frames of a container without a TTY, however the bytes were cut on their way. */
export async function* demultiplex(chunks: AsyncIterable<Uint8Array>): AsyncIterable<LogFrame> {
  let buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    buffer = Buffer.concat([buffer, chunk]);
    while (buffer.length >= HEADER_BYTES) {
      const size = buffer.readUInt32BE(4);
      if (size > MAX_FRAME_BYTES) throw new SystemError("a container's log is not framed");
      if (buffer.length < HEADER_BYTES + size) break;
      const stream = buffer[0] === STDERR ? "stderr" : "stdout";
      yield { stream, data: buffer.subarray(HEADER_BYTES, HEADER_BYTES + size) };
      buffer = buffer.subarray(HEADER_BYTES + size);
    }
  }
}

/** Lines of a container with a TTY, each with its newline, all of them stdout. */
export async function* terminalLines(chunks: AsyncIterable<Uint8Array>): AsyncIterable<LogFrame> {
  let buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    buffer = Buffer.concat([buffer, chunk]);
    for (;;) {
      const newline = buffer.indexOf(NEWLINE);
      const end = newline === -1 ? MAX_LINE_BYTES : newline + 1;
      if (newline === -1 && buffer.length < MAX_LINE_BYTES) break;
      yield { stream: "stdout", data: buffer.subarray(0, end) };
      buffer = buffer.subarray(end);
    }
  }
  if (buffer.length > 0) yield { stream: "stdout", data: buffer };
}
