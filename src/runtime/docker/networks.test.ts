import assert from "node:assert/strict";
import { it } from "node:test";
import { FakeEngine } from "./fake-engine.ts";
import { EngineNetworks } from "./networks.ts";

it("takes users' containers out of a network of Weft's before it removes it", async () => {
  const network = {
    ...{ Id: "4bz2", Name: "lan", Driver: "weft", Labels: { "weft.network": "lan" } },
    Containers: { "87e7": { Name: "mine" }, "ep-6da5": { Name: "lost" } },
  };
  const bodies: unknown[] = [];
  await using engine = await FakeEngine.serve((request, response) => {
    let text = "";
    request.on("data", (chunk) => (text += String(chunk)));
    request.on("end", () => {
      if (text !== "") bodies.push(JSON.parse(text));
      response.end(request.method === "GET" ? JSON.stringify(network) : undefined);
    });
  });
  await new EngineNetworks(engine.client).remove("lan");
  assert.deepEqual(
    engine.asked.map(({ call }) => call),
    [
      "GET /networks/lan",
      "POST /networks/4bz2/disconnect",
      "POST /networks/4bz2/disconnect",
      "DELETE /networks/4bz2",
    ],
  );
  assert.deepEqual(bodies, [
    { Container: "mine", Force: true },
    { Container: "lost", Force: true },
  ]);
});
