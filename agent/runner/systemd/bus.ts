import { execFile } from 'node:child_process';
import { ZddError } from '../../protocol/errors.ts';
import { pause } from '../process/wait.ts';

/** One question to systemd, ms. It answers within its own 25 s, or the connection is gone. */
const CALL_TIMEOUT_MS = 40_000;
/** How long a bus that is away (daemon-reexec, restart of dbus) is asked again, ms. */
const RETRY_MS = 30_000;
/** How long polkit, restarting, may refuse what it is to permit, ms. */
const REFUSED_RETRY_MS = 5_000;
const RETRY_EVERY_MS = 200;
const MAX_OUTPUT_BYTES = 64 * 1_024 * 1_024;

/** What systemctl and journalctl see of our environment: nothing but what makes them terse. */
export const TOOL_ENVIRONMENT = {
  PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C.UTF-8',
  SYSTEMD_PAGER: '',
  SYSTEMD_COLORS: '0',
} as const;

/** How a call ended. */
export interface Answer {
  readonly ok: boolean;
  readonly stdout: string;
  /** What was said on stderr, trimmed. */
  readonly said: string;
  /** There was no answer in time. */
  readonly timedOut: boolean;
}

/**
 * Asks systemd for something, through `systemctl`. An answer of systemd is returned, good or bad; a
 * bus that is away is asked again.
 * @throws ZDD_START_FAILED when the bus stays away or polkit refuses; the reason of `signal`
 */
export async function systemctl(args: readonly string[], signal: AbortSignal): Promise<Answer> {
  const began = performance.now();
  for (;;) {
    const answer = await run('systemctl', ['--no-ask-password', '--no-pager', ...args], signal);
    const trouble = answer.ok ? null : troubleWith(answer, args);
    if (trouble === null) return answer;
    const patience = trouble === 'refused' ? REFUSED_RETRY_MS : RETRY_MS;
    if (performance.now() - began > patience) throw unreachable(trouble, args, answer);
    await pause(RETRY_EVERY_MS, signal);
  }
}

/** Runs a tool of systemd once. @throws the reason of `signal`; Error when it cannot be run */
export async function run(
  program: 'systemctl' | 'busctl' | 'journalctl',
  args: readonly string[],
  signal: AbortSignal,
): Promise<Answer> {
  signal.throwIfAborted();
  const options = {
    env: TOOL_ENVIRONMENT,
    timeout: CALL_TIMEOUT_MS,
    killSignal: 'SIGKILL',
    maxBuffer: MAX_OUTPUT_BYTES,
    signal,
  } as const;
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  execFile(program, args, options, (error, stdout, stderr) => {
    if (signal.aborted) reject(signal.reason);
    else if (error !== null && typeof error.code === 'string') reject(error);
    else if (error?.killed === true) {
      const said = `no answer within ${CALL_TIMEOUT_MS / 1_000} s`;
      resolve({ ok: false, stdout, said, timedOut: true });
    } else resolve({ ok: error === null, stdout, said: stderr.trim(), timedOut: false });
  });
  return await promise;
}

/** A start may wait for other units; whatever else is not answered in time never reached systemd. */
function troubleWith(answer: Answer, [verb]: readonly string[]): 'away' | 'refused' | null {
  if (answer.timedOut) return verb === 'start' ? null : 'away';
  return troubleOf(answer.said);
}

/**
 * Whether a failure says nothing about what was asked for. systemd has no codes for this on the
 * command line; the words are those of bus-error.c, sd-bus and libc, in the C locale.
 */
export function troubleOf(said: string): 'away' | 'refused' | null {
  if (AWAY.test(said)) return 'away';
  return /Interactive authentication required|Access denied|Permission denied/.test(said)
    ? 'refused'
    : null;
}

const AWAY =
  /Failed to (?:connect to|get) (?:system scope |system )?bus|Failed to connect to bus|Connection (?:reset|refused|timed out)|Transport endpoint is not connected|[Dd]isconnected|Broken pipe|did not (?:receive a reply|reply)|Failed to activate service|org\.freedesktop\.(?:systemd1|DBus)[^ ]* (?:was not provided|exited)|Method call timed out|Remote peer/;

function unreachable(
  trouble: 'away' | 'refused',
  args: readonly string[],
  answer: Answer,
): ZddError {
  const asked = `systemctl ${args.join(' ')}`;
  return new ZddError(
    'ZDD_START_FAILED',
    trouble === 'refused'
      ? 'systemd does not let the agent do this: its polkit rule is missing or not in force'
      : 'systemd does not answer on its bus',
    {
      evidence: [
        ['asked', asked],
        ['said', answer.said],
      ],
      tries: [
        'zdd-agent doctor',
        trouble === 'refused' ? 'systemctl restart polkit' : 'systemctl status dbus.service',
      ],
    },
  );
}
