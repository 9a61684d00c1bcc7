import { execFileSync, spawn } from 'node:child_process';
import { CLI, environment, type Running, until, watchChild } from '../cli/run-cli.ts';

/** The CLI on a terminal of its own; its keyboard is our stdin. */
export interface Typing extends Running {
  type(text: string): void;
  resize(rows: number, columns: number): void;
  /** How the terminal itself is set: `-icanon -echo` while it is raw. */
  settings(): string;
}

/**
 * @param after words for a shell that run on the same terminal when the CLI has ended
 * @returns once the terminal is there
 */
export async function onTerminal(
  args: readonly string[],
  options: { readonly socket?: string; readonly env?: Record<string, string> },
  after = '',
): Promise<Typing> {
  const words = [CLI, ...args].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
  const line = `stty rows 30 cols 100; echo "<$(tty)>"; ${words}; code=$?; ${after} exit $code`;
  const running = watchChild(
    spawn('script', ['-qec', line, '/dev/null'], {
      env: { ...environment(options), TERM: 'xterm' },
      stdio: ['pipe', 'pipe', 'pipe'],
    }),
    args.join(' '),
  );
  const tty = (): string | undefined => /<(\/dev\/pts\/\d+)>/.exec(running.stdout())?.[1];
  await until(
    () => tty() !== undefined,
    () => 'a terminal',
  );
  const stty = (...more: string[]): string =>
    execFileSync('stty', ['-F', tty() ?? '', ...more]).toString();
  return {
    ...running,
    type: (text) => running.child.stdin?.write(text),
    resize: (rows, columns) => stty('rows', String(rows), 'cols', String(columns)),
    settings: () => stty('-a'),
  };
}
