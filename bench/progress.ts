/** What the benchmark does just now, on standard error, so that standard output is the result alone. */
export interface Progress {
  /** A part begins. */
  part(title: string): void;
  /** Something begins; on a terminal it takes the place of what was before. */
  step(text: string): void;
  /** Nothing is under way any more. */
  end(): void;
}

export function createProgress(out: NodeJS.WriteStream): Progress {
  const startedAt = performance.now();
  const clear = () => void (out.isTTY && out.write("\r\u001b[K"));
  const stamp = () => `${Math.round((performance.now() - startedAt) / 1_000)} s`.padStart(6);
  return {
    part(title) {
      clear();
      out.write(`${stamp()}  ${title}\n`);
    },
    step(text) {
      clear();
      out.write(`${stamp()}    ${text}${out.isTTY ? "" : "\n"}`);
    },
    end: clear,
  };
}
