/** TCP is only ever TLS with a client's certificate, as dockerd's --tlsverify. */
import "reflect-metadata";
import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  SubjectAlternativeNameExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { systemClock } from "../base/clock.ts";
import { freePlace } from "../base/free-place.ts";
import { withPort } from "../base/host-port.ts";
import { silentLogger } from "../base/logger.ts";
import { FakeBackend } from "./fake-manager.ts";
import { ApiServer } from "./server.ts";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

const place = await freePlace();

interface Identity {
  readonly certificate: X509Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
  readonly cert: string;
  readonly key: string;
}

async function makeIdentity(name: string, issuer?: Identity): Promise<Identity> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const now = Date.now();
  const certificate = await X509CertificateGenerator.create({
    serialNumber: "01",
    subject: `CN=${name}`,
    issuer: issuer?.certificate.subject ?? `CN=${name}`,
    notBefore: new Date(now - 60_000),
    notAfter: new Date(now + 3_600_000),
    publicKey: keys.publicKey,
    signingKey: (issuer?.keys ?? keys).privateKey,
    signingAlgorithm: ALGORITHM,
    extensions:
      issuer === undefined
        ? [new BasicConstraintsExtension(true, undefined, true)]
        : [
            new ExtendedKeyUsageExtension([
              ExtendedKeyUsage.serverAuth,
              ExtendedKeyUsage.clientAuth,
            ]),
            new SubjectAlternativeNameExtension([{ type: "ip", value: place.host }]),
          ],
  });
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey));
  const key = `-----BEGIN PRIVATE KEY-----\n${pkcs8.toString("base64")}\n-----END PRIVATE KEY-----\n`;
  return { certificate, keys, cert: certificate.toString("pem"), key };
}

let directory: string;
let server: ApiServer;
let ca: Identity;

before(async () => {
  directory = mkdtempSync(join(tmpdir(), "weft-api-"));
  ca = await makeIdentity("ca");
  const own = await makeIdentity("server", ca);
  const file = (name: string, text: string) => {
    writeFileSync(join(directory, name), text);
    return join(directory, name);
  };
  const backend = new FakeBackend();
  await backend.populate();
  server = new ApiServer({
    hosts: [`tcp://${withPort(place.host, place.port)}`],
    tls: {
      tlscacert: file("ca.pem", ca.cert),
      tlscert: file("cert.pem", own.cert),
      tlskey: file("key.pem", own.key),
    },
    dockerHost: `unix://${directory}/no-engine.sock`,
    backend,
    clock: systemClock,
    log: silentLogger,
    version: "0.0.0",
  });
  await server.start();
});
after(async () => {
  await server.stop();
  rmSync(directory, { recursive: true });
});

function ask(client: Partial<Identity>): Promise<number> {
  const { cert, key } = client;
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { ...place, path: "/services", ca: ca.cert, cert, key, agent: false },
      (answer) => {
        answer.resume();
        resolve(answer.statusCode ?? 0);
      },
    );
    outgoing.on("error", reject);
    outgoing.end();
  });
}

test("a client with a certificate of the CA is answered, without the Engine as well", async () => {
  assert.equal(await ask(await makeIdentity("client", ca)), 200);
});

test("a client without one is not", async () => {
  await assert.rejects(ask({}), /certificate required|ECONNRESET|EPIPE|socket hang up/);
});

test("nor one of another CA's", async () => {
  const stranger = await makeIdentity("client", await makeIdentity("ca"));
  await assert.rejects(ask(stranger), /unknown ca|alert|ECONNRESET|EPIPE|socket hang up/);
});
