/** A certificate authority's private key as WebCrypto takes it: the cluster's own is of P-256, a user's own may be another. */
import { createPrivateKey, type KeyObject, webcrypto } from "node:crypto";
import { InvalidParameterError } from "../base/errors.ts";

/** What signs, and how. */
export interface SigningKey {
  readonly key: webcrypto.CryptoKey;
  readonly algorithm: { readonly name: string; readonly hash: string };
}

/** By Node's names of the curves; the digest is as strong as the key. */
const CURVES: Readonly<Record<string, { readonly namedCurve: string; readonly hash: string }>> = {
  prime256v1: { namedCurve: "P-256", hash: "SHA-256" },
  secp384r1: { namedCurve: "P-384", hash: "SHA-384" },
  secp521r1: { namedCurve: "P-521", hash: "SHA-512" },
};
/** Shorter RSA keys have been factored. */
const RSA_BITS_MIN = 2_048;

/** Throws InvalidParameterError for a key that certificates cannot be signed with. */
export function importParameters({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject) {
  const curve = CURVES[asymmetricKeyDetails?.namedCurve ?? ""];
  if (asymmetricKeyType === "ec" && curve !== undefined) return { name: "ECDSA", ...curve };
  const bits = asymmetricKeyDetails?.modulusLength ?? 0;
  if (asymmetricKeyType === "rsa" && bits >= RSA_BITS_MIN) {
    return { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
  }
  throw new InvalidParameterError(
    `a certificate authority's key is of ECDSA (P-256, P-384, P-521) or RSA with ${RSA_BITS_MIN} bits or more, not ${asymmetricKeyType ?? "unknown"} ${asymmetricKeyDetails?.namedCurve ?? bits}`,
  );
}

/** From PEM: PKCS#8, PKCS#1 or SEC 1. */
export async function signingKey(pem: string): Promise<SigningKey> {
  const privateKey = createPrivateKey(pem);
  const parameters = importParameters(privateKey);
  const der = privateKey.export({ format: "der", type: "pkcs8" });
  const key = await webcrypto.subtle.importKey("pkcs8", der, parameters, false, ["sign"]);
  return { key, algorithm: { name: parameters.name, hash: parameters.hash } };
}
