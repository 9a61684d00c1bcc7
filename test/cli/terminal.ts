import { spawn } from 'node:child_process';
import { CLI, environment, type Running, type RunOptions, watchChild } from './run-cli.ts';

/** The CLI on a terminal of its own, 80 columns wide, by util-linux `script`; stdin is its keyboard. */
export function onTerminal(args: readonly string[], options: RunOptions = {}): Running {
  const line = ['stty cols 80; exec', CLI, ...args].join(' ');
  return watchChild(
    spawn('script', ['-qec', line, '/dev/null'], {
      cwd: options.cwd,
      env: { ...environment(options), TERM: 'xterm' },
      stdio: ['pipe', 'pipe', 'pipe'],
    }),
    `on a terminal: ${line}`,
  );
}
