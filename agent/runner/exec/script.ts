import type { ExecSpec, TerminalSize } from '../runner.ts';
import { onceScript, quote, type ScriptSurroundings } from '../systemd/slot-scripts.ts';

/** The named pipes of a session, in its folder. */
export const PIPES = ['in', 'out', 'err', 'status', 'size'] as const;
export type PipeName = (typeof PIPES)[number];

/** The two scripts of a session. `start` is what is run; it runs `run`, which becomes the command. */
export interface ExecScripts {
  readonly start: string;
  /** Holds secrets. */
  readonly run: string;
}

/**
 * A session without a word on its command line: its streams are named pipes in `folder`, because
 * that is what a shell can open from inside a unit. `status` gets a line when all are open and
 * another when the command has ended, with its exit code.
 *
 * A terminal is made by script(1), which every Debian has: it gives the command a terminal of its
 * own, and ends it with SIGHUP when it goes. The terminal's size is set from within its session,
 * because the terminal belongs to the app's user and the daemon may not touch it.
 */
export function execScripts(
  spec: ExecSpec,
  folder: string,
  around: ScriptSurroundings,
): ExecScripts {
  const { tty, limits, name } = spec;
  const pipe = (which: PipeName): string => quote(`${folder}/${which}`);
  const run = quote(`${folder}/run`);
  const env = { ...spec.env, ZDD_SLOT: name, ...(tty === null ? {} : terminalVariables(tty.term)) };
  return {
    start: lines(
      // A signal to everything of the session must not keep this from telling how it ended.
      'trap : HUP INT QUIT TERM',
      `exec 9>${pipe('status')} || exit 78`,
      // Opened for both first: to open it for reading alone would wait for who writes.
      `exec 8<>${pipe('in')} <${pipe('in')} 8>&- >${pipe('out')} 2>${pipe('err')} || exit 78`,
      'echo began >&9',
      tty === null
        ? `/bin/sh ${run} 9>&-`
        : `SHELL=/bin/sh /usr/bin/script -q -e -f -c ${quote(`exec /bin/sh ${run}`)} /dev/null 9>&-`,
      'echo "ended $?" >&9',
    ),
    run: [
      ...(tty === null ? [] : [terminalPrelude(tty.size, pipe('size'))]),
      ...(limits?.nofile === undefined ? [] : [`ulimit -n ${limits.nofile} || exit 78\n`]),
      onceScript({ ...spec, env }, around),
    ].join(''),
  };
}

/**
 * The loop that sets new sizes is no child of what the shell becomes, so that a command that waits
 * for all of its children waits for its own.
 */
function terminalPrelude({ rows, columns }: TerminalSize, size: string): string {
  return lines(
    `/usr/bin/stty sane rows ${rows} cols ${columns}`,
    '( (',
    "  trap '' TTOU HUP INT QUIT",
    '  while read -r rows columns; do',
    '    /usr/bin/stty -F /dev/tty rows "$rows" cols "$columns"',
    `  done <${size}`,
    ') >/dev/null 2>&1 & )',
  );
}

function terminalVariables(term: string): Record<string, string> {
  return { TERM: term, SHELL: '/bin/sh' };
}

function lines(...all: readonly string[]): string {
  return `${all.join('\n')}\n`;
}
