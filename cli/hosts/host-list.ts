import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { ZddError } from '../../agent/protocol/errors.ts';
import type { HostSource } from './host-source.ts';

/** How long the command of a host list may run, ms. */
const COMMAND_MS = 30_000;
/** More than any list of hosts, characters. */
const LONGEST = 100_000;

/**
 * The hosts that a source names: one a line, empty lines and `#` comments left out.
 * @param folder of the `zdd.yaml`: where a file lies and where a command runs
 * @throws ZDD_CONFIG_INVALID when it cannot be read, fails, or names nobody
 */
export async function listHosts(
  environment: string,
  source: HostSource,
  folder: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  if (Array.isArray(source)) return source;
  const text =
    'file' in source
      ? await readList(environment, resolve(folder, source.file))
      : await runList(environment, source.command, folder, signal);
  const hosts = text
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
    .filter((line) => line !== '');
  if (hosts.length === 0) throw invalid(environment, [['why', 'the list is empty']]);
  return hosts;
}

async function readList(environment: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw invalid(environment, [['why', why]]);
  }
}

function runList(
  environment: string,
  command: string | readonly string[],
  cwd: string,
  signal: AbortSignal,
): Promise<string> {
  const [program = '', ...words] = typeof command === 'string' ? ['sh', '-c', command] : command;
  const shown = typeof command === 'string' ? command : command.join(' ');
  return new Promise((done, reject) => {
    const child = spawn(program, words, {
      cwd,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: COMMAND_MS,
      killSignal: 'SIGKILL',
      signal,
    });
    let out = '';
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out = (out + text).slice(0, LONGEST);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-1_000);
    });
    const fail = (why: string) =>
      reject(
        signal.aborted
          ? signal.reason
          : invalid(environment, [
              ['command', shown],
              ['why', why],
              ...(said.trim() === '' ? [] : [['it says', said.trim()] as const]),
            ]),
      );
    child.once('error', (cause) => fail(cause.message));
    child.once('close', (code, killed) => {
      if (code === 0) done(out);
      else if (killed === 'SIGKILL') fail(`no end within ${COMMAND_MS / 1_000} s`);
      else fail(`it ended with ${code ?? killed}`);
    });
  });
}

function invalid(
  environment: string,
  evidence: ReadonlyArray<readonly [string, string]>,
): ZddError {
  return new ZddError('ZDD_CONFIG_INVALID', `the hosts of ${environment} cannot be listed`, {
    evidence,
    tries: ['zdd-agent ... --host HOST'],
  });
}
