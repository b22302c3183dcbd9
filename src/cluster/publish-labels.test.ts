import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  parseNetworks,
  parsePlaces,
  publishAccess,
  validatePublishLabels,
} from "./publish-labels.ts";

describe("labels that say who may reach a port", () => {
  it("are of one port, or of all that have none of their own", () => {
    const labels = {
      "weft.publish.allow": "10.0.0.0/8",
      "weft.publish.allow.8080": "192.168.99.0/24, 10.1.2.3",
      "weft.publish.address.8080": "192.168.99.100",
      other: "x",
    };
    validatePublishLabels(labels);
    assert.deepEqual(publishAccess(labels, 8080), {
      allowedSources: ["192.168.99.0/24", "10.1.2.3"],
      boundTo: ["192.168.99.100"],
    });
    assert.deepEqual(publishAccess(labels, 53), { allowedSources: ["10.0.0.0/8"] });
    assert.deepEqual(publishAccess({}, 53), {});
  });

  it("leave out what is within another, and host bits", () => {
    const labels = {
      "weft.publish.allow": "10.1.2.3,10.0.0.7/8,10.9.0.0/16,10.0.0.0/8,1.1.1.1/32",
    };
    assert.deepEqual(publishAccess(labels, 1), { allowedSources: ["10.0.0.0/8", "1.1.1.1"] });
  });

  it("have networks of both families, written as the kernel's tools write them", () => {
    const labels = { "weft.publish.allow": "FD00:1:0::7/64,fd00:1::9,10.0.0.0/8,fd00:2::9,::1" };
    const allowedSources = ["10.0.0.0/8", "fd00:1::/64", "fd00:2::9", "::1"];
    assert.deepEqual(publishAccess(labels, 1), { allowedSources });
  });

  it("are written as a node's own default is, which is refused by its option's name", () => {
    assert.deepEqual(parseNetworks("--x", "10.0.0.1,10.0.0.0/8"), ["10.0.0.0/8"]);
    assert.throws(() => parseNetworks("--x", "eth0"), { message: /^--x: "eth0" is neither/ });
  });

  it("name interfaces for where a port is answered, behind networks", () => {
    const labels = { "weft.publish.address": "eth0.100, br-1f, 10.0.0.7/8,eth0.100, fd00::7" };
    validatePublishLabels(labels);
    const boundTo = ["10.0.0.0/8", "fd00::7", "eth0.100", "br-1f"];
    assert.deepEqual(publishAccess(labels, 80), { boundTo });
    assert.deepEqual(parsePlaces("--x", boundTo.join()), boundTo);
    assert.deepEqual(parsePlaces("--x", "lo"), ["lo"]);
  });

  for (const [key, value, said] of [
    ["weft.publish.alow", "10.0.0.0/8", /unknown label weft\.publish\.alow/],
    ["weft.publish.allow.0", "10.0.0.0/8", /unknown label/],
    ["weft.publish.allow.70000", "10.0.0.0/8", /unknown label/],
    ["weft.publish.allow", "", /"" is neither/],
    ["weft.publish.allow.80", "eth0", /"eth0" is neither an address nor a network/],
    ["weft.publish.address.80", "192.168.99", /"192\.168\.99" is neither .*, nor an interface/],
    ["weft.publish.address.80", "eth0,", /"" is neither .*, nor an interface/],
    ["weft.publish.address.80", "eth 0", /neither/],
    ["weft.publish.address.80", "eth0:1", /neither/],
    ["weft.publish.address.80", "an-interface-of-17", /neither/],
    ["weft.publish.allow", "fd00::/129", /neither/],
    ["weft.publish.allow", "fe80::1%eth0", /neither/],
    ["weft.publish.allow", "::ffff:10.0.0.1", /neither/],
    ["weft.publish.allow", "::10.0.0.1", /neither/],
    ["weft.publish.allow", Array.from({ length: 300 }, () => "1.1.1.1").join(), /more than 256/],
  ] as const) {
    it(`are refused when wrong: ${key}=${value.slice(0, 20)}`, () => {
      assert.throws(() => validatePublishLabels({ [key]: value }), { message: said });
    });
  }
});
