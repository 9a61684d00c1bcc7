import type { Screen } from '../render/screen.ts';

export type Answer = 'abort' | 'detach' | 'keep';

/** Whether there is somebody who can be asked. */
export function canAsk(screen: Screen): boolean {
  return screen.live && process.stdin.isTTY === true;
}

/**
 * One key: what shall happen to the deployment. Ctrl-C once more means detach: it must always be
 * possible to leave. Ends with `keep` when `signal` says that there is nothing left to ask about.
 */
export function askWhatNow(
  screen: Screen,
  deployment: number,
  signal: AbortSignal,
): Promise<Answer> {
  screen.alarm(`\nDeployment #${deployment} is the agent's: it goes on without this terminal.`);
  screen.raw('  [a] abort it   [d] detach, let it go on   [k] keep watching  ');
  const { stdin } = process;
  return new Promise((resolve) => {
    const finish = (answer: Answer) => {
      stdin.off('data', onKey);
      signal.removeEventListener('abort', onEnd);
      stdin.setRawMode(false);
      stdin.pause();
      screen.raw('\n');
      resolve(answer);
    };
    const onEnd = () => finish('keep');
    const onKey = (key: Buffer) => {
      const text = key.toString('latin1').toLowerCase();
      if (text === 'a') finish('abort');
      else if (text === 'd' || text === '\u0003' || text === '\u0004') finish('detach');
      else if (text === 'k' || text === '\r' || text === '\u001b') finish('keep');
    };
    if (signal.aborted) return resolve('keep');
    signal.addEventListener('abort', onEnd, { once: true });
    stdin.setRawMode(true);
    stdin.resume();
    stdin.on('data', onKey);
  });
}
