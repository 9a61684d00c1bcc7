import type { TerminalSize } from '../../agent/protocol/exec.ts';

/** Our terminal while a program on the far side has it. */
export interface Terminal {
  size(): TerminalSize;
  onResize(tell: (size: TerminalSize) => void): void;
  /** As it was before; also done when this process ends in any way that it can notice. */
  restore(): void;
}

/** What is told of a terminal that is forced where there is none. */
const USUAL: TerminalSize = { rows: 24, columns: 80 };
const MOST = 10_000;

/** Every key goes to the far side from now on, Ctrl-C too. */
export function takeTerminal(): Terminal {
  const { stdin, stdout } = process;
  const raw = stdin.isTTY === true;
  let tell: (() => void) | undefined;
  const size = (): TerminalSize => ({
    rows: within(stdout.rows ?? USUAL.rows),
    columns: within(stdout.columns ?? USUAL.columns),
  });
  const restore = (): void => {
    if (raw && stdin.isRaw) stdin.setRawMode(false);
    if (tell) stdout.off('resize', tell);
    process.off('exit', restore);
  };
  if (raw) stdin.setRawMode(true);
  process.once('exit', restore);
  return {
    size,
    onResize(listener) {
      tell = () => listener(size());
      stdout.on('resize', tell);
    },
    restore,
  };
}

/** A terminal that does not know its size says 0. */
function within(side: number): number {
  return Math.min(Math.max(side, 1), MOST);
}
