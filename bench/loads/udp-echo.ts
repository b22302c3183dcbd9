/**
 * `node udp-echo.ts PORT`: sends every datagram back. A socket for each address, as an answer from a
 * socket on all of them would have the address that the kernel likes best and not the one asked.
 */
import { createSocket } from "node:dgram";
import { networkInterfaces } from "node:os";

const addresses = Object.values(networkInterfaces()).flatMap((own) => own ?? []);
for (const { address } of addresses.filter(({ family }) => family === "IPv4")) {
  const socket = createSocket("udp4");
  socket.on("message", (data, from) => socket.send(data, from.port, from.address));
  socket.bind(Number(process.argv[2]), address);
}
