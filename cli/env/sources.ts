import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { problemWithName } from '../../agent/protocol/environment.ts';
import { ZddError } from '../../agent/protocol/errors.ts';
import { askOnTerminal } from '../connect/ssh/keys/passphrase.ts';
import type { Context } from '../context.ts';
import { UsageError } from '../usage-error.ts';
import { parseDotenv } from './dotenv.ts';

/** More than all variables of an app together, bytes. */
const MOST = 1024 * 1024;

type Values = Readonly<Record<string, string>>;

/**
 * The values for these names: typed unseen on a terminal, else what stands on stdin or in a file,
 * for one name. Never from the command line, where the shell's history and `ps` would have them.
 * @param file `-` or nothing is stdin
 * @throws UsageError, ZDD_ENV_INVALID
 */
export async function readValues(
  { interrupts: { signal } }: Context,
  names: readonly string[],
  file: string | undefined,
): Promise<Values> {
  refuseArguments(names);
  const [name, ...others] = names;
  if (name === undefined) throw new UsageError('which variable?', ['zdd-agent env set --help']);
  if (file === undefined && process.stdin.isTTY === true) return await askFor(names);
  if (others.length > 0) {
    throw new UsageError('one value can be read for one name only', ['zdd-agent env import FILE']);
  }
  // A line end is what `echo` and editors put there; it is nobody's password.
  const value = (await readText(file ?? '-', signal)).replace(/\r?\n$/, '');
  return { [name]: value };
}

/** The variables of a file, or of stdin. @throws ZDD_ENV_INVALID with every line that is wrong */
export async function readFile({ interrupts }: Context, file: string): Promise<Values> {
  if (file === '-' && process.stdin.isTTY === true) {
    throw new UsageError('there is nothing on stdin but this terminal', [
      'zdd-agent env import FILE',
    ]);
  }
  const { values, problems } = parseDotenv(await readText(file, interrupts.signal));
  const shown = file === '-' ? 'stdin' : file;
  if (problems.length > 0) {
    throw new ZddError('ZDD_ENV_INVALID', `${shown} cannot be taken; nothing was changed`, {
      evidence: problems.map(({ line, what }) => [`line ${line}`, what]),
      tries: ['zdd-agent env import --help'],
    });
  }
  if (Object.keys(values).length === 0) {
    throw new ZddError('ZDD_ENV_INVALID', `${shown} has no variables`, {
      tries: ['zdd-agent env import --help'],
    });
  }
  return values;
}

/** @throws UsageError for a value among the names, without repeating it */
export function refuseArguments(names: readonly string[]): void {
  for (const [index, typed] of names.entries()) {
    const [name = '', ...value] = typed.split('=');
    if (value.length > 0) {
      const known = problemWithName(name) === null ? name : 'NAME';
      throw new UsageError(
        `a value on the command line is kept in the shell's history and shown by ps: take it out`,
        [`zdd-agent env set ${known}        asks for the value`, 'zdd-agent env import FILE'],
      );
    }
    const problem = problemWithName(typed);
    if (problem === null) continue;
    const shown = /^[\w.-]{1,40}$/.test(typed) ? typed : `argument ${index + 1}`;
    throw new UsageError(`${shown}: ${problem}`, ['zdd-agent env set --help']);
  }
}

async function askFor(names: readonly string[]): Promise<Values> {
  const values: [string, string][] = [];
  for (const name of names) {
    const typed = await askOnTerminal(`Value of ${name}: `);
    if (typed === null)
      throw new UsageError('nobody can be asked here', ['zdd-agent env import -']);
    values.push([name, typed]);
  }
  return Object.fromEntries(values);
}

async function readText(path: string, signal: AbortSignal): Promise<string> {
  const stream: Readable = path === '-' ? process.stdin : createReadStream(path);
  const pieces: Buffer[] = [];
  let bytes = 0;
  const leave = (): unknown => stream.destroy();
  signal.addEventListener('abort', leave, { once: true });
  try {
    for await (const piece of stream) {
      const chunk: Buffer = Buffer.from(piece);
      bytes += chunk.length;
      if (bytes > MOST) throw new Error(`more than ${MOST} bytes`);
      pieces.push(chunk);
    }
    signal.throwIfAborted();
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.concat(pieces));
  } catch (cause) {
    signal.throwIfAborted();
    const why =
      cause instanceof TypeError ? 'it is not UTF-8' : String(cause).replace('Error: ', '');
    throw new ZddError('ZDD_ENV_INVALID', `${path === '-' ? 'stdin' : path} cannot be read`, {
      evidence: [['why', why]],
      tries: ['zdd-agent env set --help'],
      cause,
    });
  } finally {
    signal.removeEventListener('abort', leave);
  }
}
