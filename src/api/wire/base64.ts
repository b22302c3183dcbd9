/** Bytes in Docker's JSON: base64 as Go reads it, which says of the first wrong byte where it stands. */
import { InvalidParameterError } from "../../base/errors.ts";
import { type Codec, textOf } from "./schema.ts";

const ALPHABET = /[A-Za-z0-9+/]/;

/** Kept as the text that it is, without the line breaks that Go skips. */
export const base64: Codec<string> = {
  goType: "[]uint8",
  encode: (text) => text,
  decode(value, at) {
    const text = textOf("[]uint8").decode(value, at);
    const wrong = firstWrongByte(text);
    if (wrong !== undefined) {
      throw new InvalidParameterError(`illegal base64 data at input byte ${wrong}`);
    }
    return text.replaceAll(/[\r\n]/g, "");
  },
};

/** How many bytes well-formed base64 stands for. */
export function base64Length(text: string): number {
  return Buffer.byteLength(text, "base64");
}

/** After encoding/base64's decodeQuantum: four characters at a time, padding only at the end. */
function firstWrongByte(text: string): number | undefined {
  let at = 0;
  const skipBreaks = () => {
    while (text[at] === "\n" || text[at] === "\r") at += 1;
  };
  for (;;) {
    for (let place = 0; place < 4; place += 1) {
      skipBreaks();
      const character = text[at];
      if (character === undefined) return place === 0 ? undefined : at - place;
      at += 1;
      if (ALPHABET.test(character)) continue;
      if (character !== "=" || place < 2) return at - 1;
      if (place === 2) {
        skipBreaks();
        if (at === text.length) return at;
        if (text[at] !== "=") return at - 1;
        at += 1;
      }
      skipBreaks();
      return at < text.length ? at : undefined;
    }
  }
}
