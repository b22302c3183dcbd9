import assert from "node:assert/strict";
import { test } from "node:test";
import { createRootCA } from "../../ca/root-ca.ts";
import { encodeTlsInfo } from "./trust-root.ts";

test("subject and key are what the signing library reads", async () => {
  const { certificate } = await createRootCA(Date.now());
  const { X509Certificate } = await import("@peculiar/x509");
  const read = new X509Certificate(certificate);
  assert.deepEqual(encodeTlsInfo(certificate), {
    TrustRoot: certificate,
    CertIssuerSubject: Buffer.from(read.subjectName.toArrayBuffer()).toString("base64"),
    CertIssuerPublicKey: Buffer.from(read.publicKey.rawData).toString("base64"),
  });
  const other = await createRootCA(Date.now());
  assert.equal(encodeTlsInfo(other.certificate).TrustRoot, other.certificate);
});

test("a cluster without a trust root shows none", () => {
  assert.deepEqual(encodeTlsInfo(""), {});
});
