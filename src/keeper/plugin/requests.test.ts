import assert from "node:assert/strict";
import { test } from "node:test";
import { EMPTY_STATE } from "../state.ts";
import { handle } from "./driver.ts";
import { decodeRequest } from "./requests.ts";

const networkID = "n".padEnd(64, "0");
const endpointID = "0123456789abcdef".padEnd(64, "0");

/** What the Engine is answered. */
function ask(path: string, body: Readonly<Record<string, unknown>> = {}) {
  const request = decodeRequest(path, body);
  assert.ok(request !== undefined);
  return handle(EMPTY_STATE, request, { linkExists: () => false }).response;
}

test("the Engine learns what the plugin is", () => {
  assert.deepEqual(ask("/Plugin.Activate"), { Implements: ["NetworkDriver", "IpamDriver"] });
  assert.equal(ask("/NetworkDriver.GetCapabilities")["Scope"], "local");
  assert.equal(ask("/IpamDriver.GetCapabilities")["RequiresMACAddress"], false);
  assert.equal(decodeRequest("/NetworkDriver.AllocateNetwork", {}), undefined);
  assert.equal(decodeRequest("/constructor", {}), undefined);
});

test("pools may overlap; a pool without a subnet, or of the other family, is refused in plain words", () => {
  const answer = { PoolID: "10.255.0.0/16", Pool: "10.255.0.0/16", Data: {} };
  assert.deepEqual(ask("/IpamDriver.RequestPool", { Pool: "10.255.0.0/16", V6: false }), answer);
  assert.deepEqual(ask("/IpamDriver.RequestPool", { Pool: "10.255.0.0/16", V6: false }), answer);
  assert.throws(() => ask("/IpamDriver.RequestPool", { Pool: "" }), /--subnet/);
  assert.throws(
    () => ask("/IpamDriver.RequestPool", { Pool: "10.255.0.0/16", V6: true }),
    /not an IPv6/,
  );
  assert.throws(() => ask("/IpamDriver.RequestPool", { Pool: "10.255.0.0/33" }), /not an IPv4/);
});

test("the pools and addresses of overlay networks keep their prefix length, IPv6 too", () => {
  const Options = { "weft.kind": "overlay" };
  const pool = (Pool: string, V6: boolean) =>
    ask("/IpamDriver.RequestPool", { Pool, V6, Options })["PoolID"];
  const address = (PoolID: unknown, body: Readonly<Record<string, unknown>>) =>
    ask("/IpamDriver.RequestAddress", { PoolID, ...body })["Address"];
  const four = pool("10.0.1.0/24", false);
  const six = pool("fd00:1::/64", true);
  assert.equal(address(four, { Address: "10.0.1.5" }), "10.0.1.5/24");
  assert.equal(address(six, { Address: "fd00:1::5" }), "fd00:1::5/64");
  assert.throws(() => address(four, { Address: "10.0.2.5" }), /not in subnet 10\.0\.1\.0\/24/);
  assert.throws(() => address(six, { Address: "10.0.1.5" }), /not in subnet fd00:1::\/64/);
  assert.throws(() => pool("10.0.1.0/24", true), /not an IPv6 subnet/);
  const gateway = { Options: { RequestAddressType: "com.docker.network.gateway" } };
  assert.equal(address(four, gateway), "0.0.0.0/32");
  assert.equal(address(six, gateway), "::/128");
  assert.throws(() => pool("fd00:1::/129", true), /not an IPv6 subnet/);
});

test("an overlay network is known by its kind and VNI", () => {
  const create = (generic: Readonly<Record<string, string>>) =>
    decodeRequest("/NetworkDriver.CreateNetwork", {
      NetworkID: networkID,
      IPv4Data: [{ AddressSpace: "weft" }],
      IPv6Data: [{ AddressSpace: "weft" }],
      Options: {
        "com.docker.network.enable_ipv6": true,
        "com.docker.network.generic": generic,
      },
    });
  assert.deepEqual(create({ "weft.kind": "overlay", "weft.vni": "4097" }), {
    ...{ kind: "network.create", networkID, vni: 4097 },
  });
  assert.throws(() => create({ "weft.kind": "overlay", "weft.vni": "4096" }), /from 4097/);
  assert.throws(() => create({ "weft.kind": "overlay" }), /weft\.vni is missing/);
  assert.throws(() => create({ "weft.kind": "macvlan" }), /macvlan and not overlay/);
  assert.deepEqual(create({}), { kind: "network.create", networkID });
});

test("addresses: the manager's is taken, none is refused, the gateway is the same everywhere", () => {
  const address = (body: Readonly<Record<string, unknown>>) =>
    ask("/IpamDriver.RequestAddress", { PoolID: "10.255.0.0/16", ...body });
  assert.equal(address({ Address: "10.255.0.5" })["Address"], "10.255.0.5/32");
  assert.throws(() => address({ Address: "10.254.0.5" }), /not in subnet 10\.255\.0\.0\/16/);
  assert.throws(() => address({ Address: "" }), /given by its managers/);
  const Options = { RequestAddressType: "com.docker.network.gateway" };
  assert.equal(address({ Address: "", Options })["Address"], "169.254.1.1/32");
  const PoolID = "fd5a:9c3e:71b2::/64";
  const six = address({ PoolID, Address: "fd5a:9c3e:71b2::5" });
  assert.equal(six["Address"], "fd5a:9c3e:71b2::5/128");
  assert.equal(address({ PoolID, Address: "", Options })["Address"], "fe80::1/128");
});

test("a network's MTU option is read and checked; another IPAM driver is refused", () => {
  const create = (mtu: string | undefined, AddressSpace = "weft") =>
    decodeRequest("/NetworkDriver.CreateNetwork", {
      NetworkID: networkID,
      IPv4Data: [{ AddressSpace }],
      Options: {
        "com.docker.network.generic":
          mtu === undefined ? {} : { "com.docker.network.driver.mtu": mtu },
      },
    });
  assert.deepEqual(create(undefined), { kind: "network.create", networkID });
  assert.deepEqual(create("1400"), { kind: "network.create", networkID, mtu: 1400 });
  assert.throws(() => create("9"), /whole number from 68/);
  assert.throws(() => create("many"), /whole number from 68/);
  assert.throws(() => create("1400", "LocalDefault"), /--ipam-driver weft/);
});

test("what is no request of an Engine is refused by the field's name", () => {
  const create = (body: Readonly<Record<string, unknown>>) =>
    decodeRequest("/NetworkDriver.CreateEndpoint", { NetworkID: networkID, ...body });
  const Interface = { Address: "10.255.0.5/32" };
  assert.equal(create({ EndpointID: endpointID, Interface })?.kind, "endpoint.create");
  assert.throws(() => create({ EndpointID: "../../etc", Interface }), /not an id/);
  assert.throws(() => create({ EndpointID: endpointID }), /Address is missing/);
  assert.throws(() => create({ EndpointID: endpointID, Interface: 7 }), /not an object/);
});
