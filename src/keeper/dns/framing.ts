/** DNS messages on a TCP connection: each after its length in two bytes (RFC 1035 §4.2.2). */

const LENGTH_BYTES = 2;

/** Each message as it is complete; ends with the stream, and forgets half a message. */
export async function* messagesOf(stream: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let gathered: Buffer = Buffer.alloc(0);
  for await (const chunk of stream) {
    gathered = gathered.length === 0 ? chunk : Buffer.concat([gathered, chunk]);
    while (gathered.length >= LENGTH_BYTES) {
      const end = LENGTH_BYTES + gathered.readUInt16BE(0);
      if (gathered.length < end) break;
      yield gathered.subarray(LENGTH_BYTES, end);
      gathered = gathered.subarray(end);
    }
  }
}

export function withLength(message: Buffer): Buffer {
  const framed = Buffer.allocUnsafe(LENGTH_BYTES + message.length);
  framed.writeUInt16BE(message.length, 0);
  message.copy(framed, LENGTH_BYTES);
  return framed;
}
