import { commandWords } from '../process/holder-script.ts';
import type { Command, InstanceSpec, Listen } from '../runner.ts';

/** What a script needs beside the spec. */
export interface ScriptSurroundings {
  /** PATH of everything that is started. */
  readonly path: string;
  /** HOME of the app's user. */
  readonly home: string;
  readonly lang: string;
}

/** What every kind of slot has in common: a command, the folder it runs in, its own variables. */
export interface Startable {
  readonly command: Command;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

/**
 * The line that a slot leaves in the journal each time its process has ended: what systemd says of
 * it, which systemd itself forgets with the next start. See `exits.ts`.
 */
export const ENDED = 'zdd-agent: ended:';

/** The script that becomes an instance: its whole environment, then `exec`. Holds secrets. */
export function startScript(spec: InstanceSpec, around: ScriptSurroundings): string {
  const { listen, limits, slot } = spec;
  const stale = listen.kind === 'unix' && !listen.activation ? listen.path : undefined;
  return script([
    ...(limits?.nofile === undefined ? [] : [`ulimit -n ${limits.nofile} || exit ${EX_CONFIG}`]),
    ...(stale === undefined ? [] : [`/bin/rm -f -- ${quote(stale)}`]),
    ...becoming(
      { ...spec, env: { ...spec.env, ZDD_SLOT: slot, ...listenVariables(listen) } },
      around,
    ),
  ]);
}

/** The script that becomes a command which runs once. Holds secrets. */
export function onceScript(spec: Startable, around: ScriptSurroundings): string {
  return script(becoming(spec, around));
}

/** The script that becomes a run of a job, for so long at most. Holds secrets. */
export function jobScript(
  { command, timeoutMs, ...spec }: Startable & { readonly timeoutMs: number },
  around: ScriptSurroundings,
): string {
  const seconds = Math.max(1, Math.ceil(timeoutMs / 1_000));
  const words = typeof command === 'string' ? ['/bin/sh', '-c', command] : command;
  const limited = ['/usr/bin/timeout', '--kill-after=10', String(seconds), ...words];
  return script(becoming({ ...spec, command: limited }, around));
}

/**
 * Runs after each end of an instance, whatever the end was; systemd gives it `SERVICE_RESULT`,
 * `EXIT_CODE` and `EXIT_STATUS` (systemd.exec(5)). `<5>` makes the line a notice, which tells it from
 * the app's own. That the kernel killed for memory stands only in the counters of the control group
 * when the unit goes on without its killed process.
 */
export function stoppedScript({ listen }: Pick<InstanceSpec, 'listen'>): string {
  return script([
    'result=$SERVICE_RESULT',
    'if [ "$EXIT_CODE/$EXIT_STATUS" = killed/KILL ]; then',
    '  while IFS=: read -r number controllers group; do',
    '    case $controllers in',
    '      "") counters=/sys/fs/cgroup$group/memory.events ;;',
    '      memory) counters=/sys/fs/cgroup/memory$group/memory.oom_control ;;',
    '      *) continue ;;',
    '    esac',
    '    [ -r "$counters" ] || continue',
    '    while read -r name count; do',
    '      if [ "$name" = oom_kill ] && [ "$count" -gt 0 ]; then result=oom-kill; fi',
    '    done <"$counters"',
    '  done </proc/self/cgroup',
    'fi',
    `echo "<5>${ENDED} $EXIT_CODE $EXIT_STATUS $result"`,
    ...(listen.kind === 'unix' && !listen.activation
      ? [`/bin/rm -f -- ${quote(listen.path)}`]
      : []),
  ]);
}

/** A text as one word for sh, whatever is in it. @throws RangeError for a NUL, which no word can hold */
export function quote(text: string): string {
  if (text.includes('\0')) throw new RangeError('a word of a shell script cannot hold NUL');
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** sysexits.h: the configuration asks for what the host does not give. */
const EX_CONFIG = 78;

function script(lines: readonly string[]): string {
  return ['# Written by zdd-agent for one slot; see docs/instances.md.', ...lines, ''].join('\n');
}

function becoming({ command, cwd, env }: Startable, around: ScriptSurroundings): string[] {
  const { path, home, lang } = around;
  const variables = { PATH: path, HOME: home, LANG: lang, ...env };
  return [
    `cd -- ${quote(cwd)} || exit ${EX_CHDIR}`,
    // The last ones before the command: nothing of this script runs with what they change.
    ...Object.entries(variables).map(([name, value]) => `export ${name}=${quote(value)}`),
    `exec ${execWords(command)}`,
  ];
}

/** What systemd itself exits with when it cannot change into a folder (systemd.exec(5)). */
const EX_CHDIR = 200;

function execWords(command: Command): string {
  const [kind, ...words] = commandWords(command);
  return kind === 'line' ? words.join(' ') : words.map(quote).join(' ');
}

/** With activation systemd says `LISTEN_FDS`, and that is the only word on where to listen. */
function listenVariables(listen: Listen): Record<string, string> {
  switch (listen.kind) {
    case 'none':
      return {};
    case 'unix':
      return listen.activation ? {} : { ZDD_SOCKET: listen.path, SOCKET: listen.path };
    case 'tcp':
      return listen.activation ? {} : { PORT: String(listen.port), HOST: '127.0.0.1' };
  }
}
