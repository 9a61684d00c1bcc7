import { Interrupted } from '../../../interrupt.ts';

/** Asks whoever sits at the terminal; null when nobody does. Nothing typed is shown or kept. */
export type AskPassphrase = (question: string) => Promise<string | null>;

/** Several hosts may be logged in to at once, but there is one keyboard. */
let asking: Promise<unknown> = Promise.resolve();

/** On a terminal only: an answer from a pipe would be a passphrase in somebody's script. */
export const askOnTerminal: AskPassphrase = (question) => {
  const answer = asking.then(() => askNow(question));
  asking = answer.catch(() => {});
  return answer;
};

const askNow: AskPassphrase = async (question) => {
  const { stdin, stderr } = process;
  if (stdin.isTTY !== true || stderr.isTTY !== true) return null;
  const typed = readHidden(stdin);
  // Only now: whoever answers at once must not see the answer.
  stderr.write(question);
  return typed.finally(() => stderr.write('\n'));
};

/** @throws Interrupted on Ctrl-C, Ctrl-D and a terminal that is closed */
function readHidden(stdin: NodeJS.ReadStream): Promise<string> {
  return new Promise((resolve, reject) => {
    let typed = '';
    const finish = (settle: () => void) => {
      stdin.off('data', onData).off('end', onEnd);
      stdin.setRawMode(false);
      stdin.pause();
      settle();
    };
    const onEnd = () => finish(() => reject(new Interrupted()));
    const onData = (data: Buffer) => {
      for (const letter of data.toString('utf8')) {
        if (letter === '\r' || letter === '\n') return finish(() => resolve(typed));
        if (letter === '\u0003' || letter === '\u0004') return onEnd();
        if (letter === '\u007f' || letter === '\b') typed = [...typed].slice(0, -1).join('');
        else if (letter === '\u0015') typed = '';
        else typed += letter;
      }
    };
    stdin.setRawMode(true);
    stdin.resume();
    stdin.on('data', onData).on('end', onEnd);
  });
}
