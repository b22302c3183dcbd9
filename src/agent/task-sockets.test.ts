import assert from "node:assert/strict";
import { connect, createServer } from "node:net";
import { after, before, describe, it } from "node:test";
import { decodeSockets, type SocketTables, socketCounts, taskSockets } from "./task-sockets.ts";

const HEAD =
  "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
const NONE: SocketTables = { tcp: HEAD, tcp6: HEAD, udp: HEAD, udp6: HEAD, if_inet6: "" };

function line(
  local: string,
  remote: string,
  state: string,
  inode = 7,
  unread = "00000000",
  timer = "00:00000000 00000000",
): string {
  return `   0: ${local} ${remote} ${state} 00000000:${unread} ${timer}     0        0 ${inode} 1\n`;
}
/** One whose bytes were sent so often in vain. */
const repeated = (state: string, times: string) =>
  line(TASK_80, CLIENT, state, 7, "00000000", `01:0000012C 000000${times}`);
const ANY = "00000000:0000";
const TASK_80 = "0900FF0A:0050";
const CLIENT = "C863A8C0:C350";

describe("a task's sockets", () => {
  it("tell which ports IPv6 clients reach, and at which addresses", () => {
    const [any, mapped, own] = ["0".repeat(32), "0000000000000000FFFF00000900FF0A", "1".repeat(32)];
    const sockets = decodeSockets({
      ...NONE,
      tcp: HEAD + line("00000000:0051", ANY, "0A"),
      tcp6: HEAD + [`${any}:0050`, `${mapped}:0052`].map((at) => line(at, ANY, "0A")).join(""),
      udp6: HEAD + line(`${own}:0035`, ANY, "07"),
      if_inet6: "fd5a9c3e71b200000000000000000009 02 80 00 80     eth0\n",
    });
    assert.deepEqual([...sockets.served6], ["tcp/80", "udp/53"]);
    assert.deepEqual([...sockets.served].sort(), ["tcp/80", "tcp/81", "tcp/82", "udp/53"]);
    assert.ok(sockets.addresses6.has("fd5a9c3e71b200000000000000000009"));
  });

  const serving: readonly [string, Partial<SocketTables>, string[]][] = [
    ["any IPv4 address", { tcp: line("00000000:0050", ANY, "0A") }, ["tcp/80"]],
    ["any IPv6 address", { tcp6: line(`${"0".repeat(32)}:0050`, ANY, "0A") }, ["tcp/80"]],
    ["its own address", { tcp: line(TASK_80, ANY, "0A") }, ["tcp/80"]],
    ["127.0.0.1 alone", { tcp: line("0100007F:0050", ANY, "0A") }, []],
    ["::1 alone", { tcp6: line("00000000000000000000000001000000:0050", ANY, "0A") }, []],
    ["a connection is no server", { tcp: line(TASK_80, CLIENT, "01") }, []],
    ["a UDP port", { udp: line("00000000:0035", ANY, "07") }, ["udp/53"]],
    ["a UDP client", { udp: line("0900FF0A:A000", "0808080A:0035", "01") }, []],
  ];
  for (const [name, tables, expected] of serving) {
    it(`served: ${name}`, () => {
      const { served } = decodeSockets(tablesOf(tables));
      assert.deepEqual([...served], expected);
    });
  }

  const counted: readonly [string, string, number][] = [
    ["established", line(TASK_80, CLIENT, "01"), 1],
    ["on its way to be", line(TASK_80, CLIENT, "03"), 1],
    ["half closed by the client", line(TASK_80, CLIENT, "08"), 1],
    ["half closed by the server, which still reads", line(TASK_80, CLIENT, "05", 9), 1],
    ["closed by the server, which waits for the client's end", line(TASK_80, CLIENT, "05", 0), 0],
    ["with its last bytes to be delivered", line(TASK_80, CLIENT, "04", 0), 1],
    ["over", line(TASK_80, CLIENT, "06", 0), 0],
    ["from the task itself", line("0100007F:0050", "0100007F:C350", "01"), 0],
    ["listening", line("00000000:0050", ANY, "0A"), 0],
    ["slow to acknowledge", repeated("01", "04"), 1],
    ["not acknowledged any more", repeated("01", "05"), 0],
    ["never acknowledged", repeated("03", "05"), 0],
    ["not acknowledged any more, with its last bytes", repeated("04", "0A"), 0],
    [
      "that of a client which reads nothing now, and is asked again and again",
      line(TASK_80, CLIENT, "01", 7, "00000000", "04:0000012C 0000000A"),
      1,
    ],
  ];
  for (const [name, tcp, expected] of counted) {
    it(`a connection that is ${name} counts ${expected}`, () => {
      const { connections } = decodeSockets(tablesOf({ tcp }));
      assert.equal(connections.get(80) ?? 0, expected);
    });
  }

  it("counts IPv4 clients of an IPv6 socket, and leaves the task's own out", () => {
    const mapped = (address: string) => `0000000000000000FFFF0000${address}`;
    const tcp6 =
      line(`${mapped("0900FF0A")}:0050`, `${mapped("C863A8C0")}:C350`, "01") +
      line(`${mapped("0100007F")}:0050`, `${mapped("0100007F")}:C351`, "01");
    assert.equal(decodeSockets(tablesOf({ tcp6 })).connections.get(80), 1);
  });

  it("knows datagrams that were not read", () => {
    const udp = line("00000000:0035", ANY, "07", 7, "00000340");
    assert.deepEqual([...decodeSockets(tablesOf({ udp })).unread], [53]);
  });
});

describe("this process's own sockets", () => {
  const server = createServer();
  before(() => new Promise<void>((resolve) => void server.listen(0, "0.0.0.0", resolve)));
  after(() => server.close());

  it("are read from the kernel", async () => {
    const { port } = server.address() as { port: number };
    const client = connect(port, "127.0.0.1");
    await new Promise((resolve) => server.once("connection", resolve));
    const sockets = await taskSockets.sockets(process.pid);
    assert.ok(sockets?.served.has(`tcp/${port}`));
    assert.equal(sockets?.connections.get(port), undefined, "loopback is not outside");
    client.destroy();
  });

  it("are counted at once", async () => {
    const counts = await taskSockets.counts(process.pid);
    assert.ok(Number(/TCP: inuse (\d+)/.exec(counts ?? "")?.[1]) >= 1, counts);
    assert.equal(await taskSockets.counts(2 ** 30), undefined);
  });

  it("are counted for the namespace alone: what the kernel says of all of them is left out", () => {
    const stat =
      "sockets: used 23\nTCP: inuse 1 orphan 3 tw 0 alloc 88 mem 128\nUDP: inuse 0 mem 0\nTCP6: inuse 4\n";
    assert.equal(socketCounts(stat), "TCP: inuse 1, UDP: inuse 0, TCP6: inuse 4");
  });

  it("are unknown of a process that is not there", async () => {
    assert.equal(await taskSockets.sockets(2 ** 30), undefined);
  });
});

function tablesOf(lines: Partial<SocketTables>): SocketTables {
  const entries = Object.entries(lines).map(([table, text]) => [table, `${HEAD}${text}`]);
  return { ...NONE, ...Object.fromEntries(entries) };
}
