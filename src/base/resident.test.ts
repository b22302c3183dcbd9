import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { FakeClock } from "./clock.ts";
import { codeIn, ResidentCode, releaseCode } from "./resident.ts";

const MAPS = `00400000-00741000 r--p 00000000 fe:00 5309682    /usr/bin/node
00741000-0300b000 r-xp 00341000 fe:00 5309682    /usr/bin/node
06acb000-06af6000 rw-p 066ca000 fe:00 5309682    /usr/bin/node
24fab000-25000000 rw-p 00000000 00:00 0          [heap]
7f03f21d5000-7f03f232b000 r-xp 00026000 fe:00 339380    /usr/lib/x86_64-linux-gnu/libc.so.6
7f03f2400000-7f03f2500000 r-xp 00000000 00:00 0
7f03f23a3000-7f03f23a5000 r-xp 00000000 00:00 0  [vdso]
`;

describe("code that is resident", () => {
  it("is what is mapped of files to be run; what was made at run time is none", () => {
    assert.deepEqual(codeIn(MAPS), [
      { from: 0x741000n, to: 0x300b000n },
      { from: 0x7f03f21d5000n, to: 0x7f03f232b000n },
    ]);
  });

  it("is let go when the process has come to rest after it worked, and now and then while it rests", async () => {
    const clock = new FakeClock();
    const seen = { cpuMs: 0, released: 0 };
    const code = new ResidentCode({
      clock,
      cpuMs: () => seen.cpuMs,
      release: () => {
        seen.released += 1;
      },
    });
    const seconds = (count: number, cpuMs: number) => {
      for (let second = 0; second < count; second++) {
        seen.cpuMs += cpuMs;
        clock.advance(1_000);
      }
      return seen.released;
    };
    code.start();
    assert.equal(seconds(10, 600), 0, "it works");
    assert.equal(seconds(2, 10), 1, "it rests");
    assert.equal(seconds(14, 10), 1, "it still rests");
    assert.equal(seconds(2, 10), 2, "for long");
    assert.equal(seconds(2, 600), 2, "it works again");
    assert.equal(seconds(2, 10), 3, "and rests again");
    await code.stop();
    assert.equal(seconds(100, 10), 3);
  });

  it("is a good part of what a Node.js process has resident, and is there again when it runs", () => {
    const before = process.memoryUsage.rss();
    releaseCode();
    const after = process.memoryUsage.rss();
    assert.ok(after < before * 0.9, `${before} -> ${after}`);
    const manifest: unknown = JSON.parse(
      readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
    );
    assert.equal(typeof manifest, "object");
  });
});
