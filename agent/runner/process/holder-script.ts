import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * The holder: a small shell process, one for each slot, that outlives the daemon. It keeps the
 * activation listener open as fd 3, runs the app, notes how each run ended and starts it again
 * after a growing pause. It leads the process group in which everything of the slot lives.
 *
 * `hold LIFE STALE FIRST MAX STEADY NOFILE ACTIVATION KIND WORD...`: milliseconds, STEADY in seconds;
 * STALE is a socket to remove before each start, or empty; NOFILE a limit of open files, or empty. `app LIFE ACTIVATION KIND WORD...`: one run.
 * `once LIFE KIND WORD...`: a command that is run to its end. KIND is `line` (one shell line) or
 * `words`. What stands in LIFE is read by `life.ts`.
 *
 * Its variables begin with `zdd_` because a variable that is also in the app's environment would
 * be exported to the app.
 */
const SCRIPT = `# Runs one slot of zdd-agent; see docs/instances.md.
zdd_birth() {
  read -r zdd_stat <"/proc/$$/stat"
  # Field 22 of the whole line; the name in parentheses may hold blanks.
  set -- \${zdd_stat##*) }
  zdd_start=\${20}
}
zdd_tool() ( PATH=/usr/bin:/bin:/usr/local/bin; exec "$@" )

case $1 in
app)
  zdd_birth
  printf 'began %s %s\\n' "$$" "$zdd_start" >>"$2"
  # Here, because only now is the pid known that the app will have.
  if [ "$3" = fd ]; then LISTEN_PID=$$ LISTEN_FDS=1; export LISTEN_PID LISTEN_FDS; fi
  if [ "$4" = line ]; then
    zdd_line=$5
    set --
    eval "exec $zdd_line"
  fi
  shift 4
  exec "$@"
  ;;
hold)
  zdd_life=$2 zdd_stale=$3 zdd_first=$4 zdd_max=$5 zdd_steady=$6
  # Before the start is claimed: a limit beyond what the daemon itself has fails the start.
  if [ -n "$7" ]; then ulimit -n "$7" || exit 1; fi
  shift 7
  # The daemon gave the listener as stdin too, which makes it blocking as activated apps expect.
  exec </dev/null
  # An app that signals its own group must not end its holder. Children get the defaults back.
  trap : HUP INT QUIT TERM USR1 USR2
  zdd_birth
  # Created exclusively: whoever revoked this start before us has created it, and we must not run.
  set -C
  { printf 'held %s %s\\n' "$$" "$zdd_start" >"$zdd_life"; } 2>/dev/null || exit 0
  set +C
  zdd_pause=$zdd_first
  while :; do
    if [ -S "$zdd_stale" ]; then zdd_tool rm -f "$zdd_stale"; fi
    read -r zdd_began zdd_rest </proc/uptime
    /bin/sh "$0" app "$zdd_life" "$@"
    zdd_code=$?
    read -r zdd_ended zdd_rest </proc/uptime
    # What the ended run left behind would hold its port or socket against the next one.
    kill -TERM 0
    if [ $((\${zdd_ended%.*} - \${zdd_began%.*})) -ge "$zdd_steady" ]; then zdd_pause=$zdd_first; fi
    printf 'ended %s %s %s\\n' "$zdd_code" "$zdd_ended" "$zdd_pause" >>"$zdd_life"
    # Some sleeps know whole seconds only. Without any, another holder is the daemon's to start.
    zdd_tool sleep "$((zdd_pause / 1000)).$(printf %03d $((zdd_pause % 1000)))" ||
      zdd_tool sleep "$((zdd_pause / 1000 + 1))" || exit 1
    zdd_pause=$((zdd_pause * 2))
    if [ "$zdd_pause" -gt "$zdd_max" ]; then zdd_pause=$zdd_max; fi
  done
  ;;
once)
  # The folder of the file is gone when a newer daemon has revoked this run.
  zdd_birth
  set -C
  printf 'held %s %s\\n' "$$" "$zdd_start" >"$2" || exit 1
  set +C
  if [ "$3" = line ]; then
    zdd_line=$4
    set --
    eval "exec $zdd_line"
  fi
  shift 3
  exec "$@"
  ;;
esac
`;

/**
 * Writes the holder script into `stateDir`. Running holders keep the file they have open.
 * @returns its path
 */
export async function installHolderScript(stateDir: string): Promise<string> {
  const path = join(stateDir, '.holder.sh');
  const fresh = `${path}.${process.pid}`;
  const file = await open(fresh, 'w', 0o600);
  try {
    await file.writeFile(SCRIPT);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(fresh, path);
  return path;
}

/**
 * The words that tell the holder what to run. A line that begins with `NAME=value` goes through
 * `env`, since `exec` takes no assignments. A line of several commands keeps a shell of its own:
 * `exec` would be for the first of them only.
 */
export function commandWords(command: string | readonly string[]): readonly string[] {
  if (typeof command !== 'string') return ['words', ...command];
  const line = command.trim();
  if (/[;&|\n]/.test(line)) return ['words', '/bin/sh', '-c', line];
  return ['line', /^[A-Za-z_][A-Za-z0-9_]*=/.test(line) ? `env ${line}` : line];
}
