import type { Context } from '../context.ts';
import { Interrupted } from '../interrupt.ts';
import { isAppName } from './app-name.ts';

/** Whether there is somebody who can be asked. */
export function canAsk({ screen }: Context): boolean {
  return screen.live && process.stdin.isTTY === true;
}

export interface Questions {
  /** @returns a name that fits; Enter takes `proposed` */
  app(proposed: string): Promise<string>;
  /** @returns SSH destinations; Enter alone means none yet */
  hosts(): Promise<string[]>;
  close(): void;
}

/** Asks on the terminal. Ctrl-C and Ctrl-D end the command: nothing has been written by then. */
export async function openQuestions({ interrupts, screen }: Context): Promise<Questions> {
  const left = new AbortController();
  const { createInterface } = await import('node:readline/promises');
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  const leave = () => left.abort(new Interrupted());
  lines.once('SIGINT', leave).once('close', leave);
  const signal = AbortSignal.any([left.signal, interrupts.signal]);
  const ask = async (question: string) => {
    try {
      return (await lines.question(question, { signal })).trim();
    } catch (cause) {
      if (signal.aborted) screen.raw('\n');
      signal.throwIfAborted();
      throw cause;
    }
  };
  return {
    async app(proposed) {
      for (;;) {
        const name = (await ask(`name of the app on the host [${proposed}]: `)) || proposed;
        if (isAppName(name)) return name;
        screen.alarm('  lower-case letters, digits and "-", a letter first, at most 31');
      }
    },
    async hosts() {
      return splitHosts(await ask('where to push, such as deploy@web1.example.com [later]: '));
    },
    close() {
      lines.off('close', leave);
      lines.close();
    },
  };
}

/** `a,b` and `a b` alike. */
export function splitHosts(text: string): string[] {
  return text.split(/[\s,]+/).filter((host) => host !== '');
}
