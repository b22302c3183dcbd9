import assert from "node:assert/strict";
import { test } from "node:test";
import { questionOf } from "./question.ts";

/** RFC 1071: over what carries its own checksum the sum is all ones. */
function sumOf(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

test("a client is asked in its server's name, by a packet with a right checksum", () => {
  const client = { address: "192.168.99.200", port: 40_000 };
  const server = { address: "192.168.99.100", port: 8080 };
  const { packet, to } = questionOf({ client, server });
  assert.equal(packet.length, 40);
  assert.deepEqual([...packet.subarray(12, 20)], [192, 168, 99, 100, 192, 168, 99, 200]);
  const segment = packet.subarray(20);
  assert.deepEqual([segment.readUInt16BE(0), segment.readUInt16BE(2)], [8080, 40_000]);
  assert.equal(segment.readUInt8(13), 0x12, "SYN and ACK");
  const pseudo = Buffer.concat([packet.subarray(12, 20), Buffer.from([0, 6, 0, 20])]);
  assert.equal(sumOf(Buffer.concat([pseudo, segment])), 0xffff);
  assert.deepEqual([...to.subarray(4, 8)], [192, 168, 99, 200]);
});

test("a client of IPv6 is asked alike", () => {
  const client = { address: "2001:db8::c8", port: 40_000 };
  const server = { address: "2001:db8::64", port: 8080 };
  const { packet, to } = questionOf({ client, server });
  assert.equal(packet.length, 60);
  assert.deepEqual(
    [packet.readUInt8(0) >> 4, packet.readUInt16BE(4), packet.readUInt8(6)],
    [6, 20, 6],
  );
  assert.equal(
    packet.subarray(8, 40).toString("hex"),
    `20010db8${"0".repeat(22)}6420010db8${"0".repeat(22)}c8`,
  );
  const pseudo = Buffer.concat([packet.subarray(8, 40), Buffer.from([0, 0, 0, 20, 0, 0, 0, 6])]);
  assert.equal(sumOf(Buffer.concat([pseudo, packet.subarray(40)])), 0xffff);
  assert.equal(to.length, 28);
  assert.deepEqual(to.subarray(8, 24), packet.subarray(24, 40));
});
