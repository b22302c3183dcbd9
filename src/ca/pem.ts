/** Texts of several certificates in PEM, as trust roots and certificate chains are kept. */

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Each certificate of a text by itself, in the text's order; what stands between them is dropped. */
export function certificatesIn(pem: string): readonly string[] {
  return (pem.match(CERTIFICATE) ?? []).map((certificate) => `${certificate}\n`);
}
