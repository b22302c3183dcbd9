import assert from "node:assert/strict";
import { endianness } from "node:os";
import { it } from "node:test";
import { socketAddress } from "./sockets.ts";

const inHostOrder = (hex: string) => {
  const bytes = Buffer.from(hex, "hex");
  return (endianness() === "LE" ? bytes.reverse() : bytes).toString("hex");
};

it("is what the kernel takes for an IPv4 address and port", () => {
  const expected = `${inHostOrder("0002")}1f90c0a8636400${"00".repeat(7)}`;
  assert.equal(socketAddress("192.168.99.100", 8080).toString("hex"), expected);
});

it("is what the kernel takes for an IPv6 address on a link", () => {
  const address = `fe80${"00".repeat(13)}01`;
  const expected = `${inHostOrder("000a")}000000000000${address}${inHostOrder("00000007")}`;
  assert.equal(socketAddress("fe80::1", 0, 7).toString("hex"), expected);
});
