/**
 * Bytes to JSON values, refused in Go's words, which are what Docker's clients print and match on.
 * JSON.parse does the work; only a text that it refuses is walked again to find the words.
 */
import { InvalidParameterError } from "../../base/errors.ts";

/** Reads one JSON value. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new InvalidParameterError(describeSyntaxError(text));
  }
}

/** Go's text for what is wrong with `text`. */
export function describeSyntaxError(text: string): string {
  if (text.trim() === "") return "got EOF while reading request body";
  try {
    new Scanner(text).scan();
  } catch (error) {
    if (error instanceof ScanError) return error.message;
    throw error;
  }
  return "unexpected content after JSON";
}

class ScanError extends Error {}

/** What closes the value that is being read, and what may come next. */
type Expect =
  | "value"
  | "first key"
  | "key"
  | "colon"
  | "first element"
  | "after pair"
  | "after element";

/** Walks one value without building it, and without recursion: depth is the sender's choice. */
class Scanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  scan(): void {
    const open: ("{" | "[")[] = [];
    let expect: Expect = "value";
    for (;;) {
      this.#skipSpace();
      const next = this.#step(expect, open);
      if (next === "done") expect = open.at(-1) === "{" ? "after pair" : "after element";
      else expect = next;
      if (next === "done" && open.length === 0) return;
    }
  }

  /** Reads one token; "done" when a value ended with it. */
  #step(expect: Expect, open: ("{" | "[")[]): Expect | "done" {
    const character = this.#peek();
    switch (expect) {
      case "first key":
      case "key":
        if (expect === "first key" && character === "}") return this.#close(open);
        if (character !== '"') this.#fail("looking for beginning of object key string");
        this.#string();
        return "colon";
      case "colon":
        if (character !== ":") this.#fail("after object key");
        this.#at += 1;
        return "value";
      case "after pair":
        if (character === "}") return this.#close(open);
        if (character !== ",") this.#fail("after object key:value pair");
        this.#at += 1;
        return "key";
      case "after element":
        if (character === "]") return this.#close(open);
        if (character !== ",") this.#fail("after array element");
        this.#at += 1;
        return "value";
      case "first element":
        if (character === "]") return this.#close(open);
        return this.#value(open);
      case "value":
        return this.#value(open);
    }
  }

  #close(open: ("{" | "[")[]): "done" {
    this.#at += 1;
    open.pop();
    return "done";
  }

  #value(open: ("{" | "[")[]): Expect | "done" {
    const character = this.#peek();
    if (character === "{" || character === "[") {
      this.#at += 1;
      open.push(character);
      return character === "{" ? "first key" : "first element";
    }
    if (character === '"') this.#string();
    else if (character === "-" || isDigit(character)) this.#number();
    else this.#literal(character);
    return "done";
  }

  #literal(character: string): void {
    const word = ["true", "false", "null"].find((candidate) => candidate.startsWith(character));
    if (word === undefined) this.#fail("looking for beginning of value");
    for (const expected of word) {
      if (this.#peek() !== expected) this.#fail(`in literal ${word} (expecting '${expected}')`);
      this.#at += 1;
    }
  }

  #number(): void {
    if (this.#peek() === "-") {
      this.#at += 1;
      if (!isDigit(this.#peek())) this.#fail("in numeric literal");
    }
    if (this.#peek() === "0") this.#at += 1;
    else this.#digits();
    if (this.#text[this.#at] === ".") {
      this.#at += 1;
      if (!isDigit(this.#peek())) this.#fail("after decimal point in numeric literal");
      this.#digits();
    }
    if (this.#text[this.#at]?.toLowerCase() === "e") {
      this.#at += 1;
      if (this.#peek() === "+" || this.#peek() === "-") this.#at += 1;
      if (!isDigit(this.#peek())) this.#fail("in exponent of numeric literal");
      this.#digits();
    }
  }

  #digits(): void {
    while (isDigit(this.#text[this.#at] ?? "")) this.#at += 1;
  }

  #string(): void {
    this.#at += 1;
    for (;;) {
      const character = this.#peek();
      if (character < " ") this.#fail("in string literal");
      this.#at += 1;
      if (character === '"') return;
      if (character === "\\") this.#escape();
    }
  }

  #escape(): void {
    const character = this.#peek();
    if (!'"\\/bfnrtu'.includes(character)) this.#fail("in string escape code");
    this.#at += 1;
    if (character !== "u") return;
    for (let digit = 0; digit < 4; digit += 1) {
      if (!/[0-9a-fA-F]/.test(this.#peek())) this.#fail("in \\u hexadecimal character escape");
      this.#at += 1;
    }
  }

  #skipSpace(): void {
    while (" \t\r\n".includes(this.#text[this.#at] ?? "x")) this.#at += 1;
  }

  #peek(): string {
    const character = this.#text[this.#at];
    if (character === undefined) throw new ScanError("unexpected EOF");
    return character;
  }

  #fail(context: string): never {
    throw new ScanError(`invalid character ${quote(this.#peek())} ${context}`);
  }
}

function isDigit(character: string): boolean {
  return character >= "0" && character <= "9";
}

/** As Go quotes a character in these texts. */
function quote(character: string): string {
  if (character === "'") return "'\\''";
  if (character === '"') return "'\"'";
  const named = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\" }[character];
  if (named !== undefined) return `'${named}'`;
  const code = character.charCodeAt(0);
  return code < 0x20 ? `'\\x${code.toString(16).padStart(2, "0")}'` : `'${character}'`;
}
