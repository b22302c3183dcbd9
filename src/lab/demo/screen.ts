/** The demo's paper: titles, commands as a user would type them, their output, checks, and a table that is redrawn. */
export interface Screen {
  title(text: string): void;
  note(text: string): void;
  command(prompt: string, words: readonly string[]): void;
  output(text: string): void;
  right(text: string): void;
  wrong(text: string): void;
  /** Draws lines over the ones of the last call on a terminal; prints them where there is none. */
  live(lines: readonly string[]): void;
  /** What comes next goes below the live lines. */
  settle(): void;
}

const BOLD = "\u001b[1m";
const DIM = "\u001b[2m";
const GREEN = "\u001b[32m";
const RED = "\u001b[31m";
const PLAIN = "\u001b[0m";

export function createScreen(out: NodeJS.WriteStream): Screen {
  const styled = (style: string, text: string) => (out.isTTY ? `${style}${text}${PLAIN}` : text);
  let liveLines = 0;
  const print = (text: string) => {
    liveLines = 0;
    out.write(`${text}\n`);
  };
  return {
    title: (text) =>
      print(
        `\n${styled(BOLD, `── ${text} `)}${styled(DIM, "─".repeat(Math.max(3, 76 - text.length)))}`,
      ),
    note: (text) => print(text),
    command: (prompt, words) =>
      print(`${styled(DIM, prompt)} ${styled(BOLD, words.map(shellWord).join(" "))}`),
    output(text) {
      const trimmed = text.trimEnd();
      if (trimmed !== "") print(trimmed.replace(/^/gm, "   "));
    },
    right: (text) => print(`${styled(GREEN, "✔")} ${text}`),
    wrong: (text) => print(`${styled(RED, "✘")} ${text}`),
    live(lines) {
      if (out.isTTY && liveLines > 0) out.write(`\u001b[${liveLines}A\u001b[J`);
      out.write(`${lines.join("\n")}\n`);
      liveLines = lines.length;
    },
    settle() {
      liveLines = 0;
    },
  };
}

/** As one would type it: quoted only where a shell would need it. */
function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
