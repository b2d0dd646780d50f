/** What the demo writes on standard output, in colour for a terminal. */
export type Screen = {
  readonly heading: (text: string) => void;
  readonly line: (text: string) => void;
  readonly verdict: (good: boolean, text: string) => void;
};

export function openScreen(): Screen {
  const colour = process.stdout.isTTY && process.env["NO_COLOR"] === undefined;
  const paint = (code: number, text: string): string =>
    colour ? `\u001b[${code}m${text}\u001b[0m` : text;
  const write = (text: string): void => {
    process.stdout.write(`${text}\n`);
  };
  return {
    heading: (text) => {
      write(`\n${paint(1, text)}`);
    },
    line: write,
    verdict: (good, text) => {
      write(`  ${good ? paint(32, "ok") : paint(31, "WRONG")} ${text}`);
    },
  };
}
