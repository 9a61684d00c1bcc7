import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { ZddError } from '../../../agent/protocol/errors.ts';
import type { Connection } from '../connection.ts';
import { overHttp } from '../http/over-http.ts';
import { LastingError } from '../lasting.ts';
import { type Destination, parseDestination, wordsOfSsh } from './destination.ts';
import { quoted } from './same-command.ts';

/** With nobody to type anything, ssh is ready or has failed long before this, ms. */
const READY_MS = 60_000;
/** With a person who looks for a security key, ms. */
const PATIENT_MS = 300_000;
const LOOK_EVERY_MS = 20;
/** What is kept of ssh's own words, characters. */
const SAID = 2_000;

/**
 * ssh ends when we do, whatever ends us: a pipe that closes is noticed by the shell beside it.
 * Ctrl-C is ours to answer, so ssh does not see it.
 */
const KEEPER = (program: string) => `trap '' INT
${program} "$@" </dev/null &
ssh=$!
{ cat >/dev/null; kill "$ssh" 2>/dev/null; } <&3 &
wait "$ssh"`;

export interface SystemSshOptions {
  readonly destination: string;
  readonly socket: string;
  readonly acceptNew: boolean;
  /** Words for a shell, as `GIT_SSH_COMMAND`: `ssh -F file`. */
  readonly program: string;
}

/** The agent of another host through the system's ssh, which forwards a local socket to it. */
export function systemSshConnection(options: SystemSshOptions): Connection {
  const destination = parseDestination(options.destination);
  const where = options.destination;
  let tunnel: Tunnel | null = null;
  let opening: Promise<Tunnel> | null = null;

  async function ready(signal: AbortSignal): Promise<void> {
    if (tunnel?.alive()) return;
    tunnel?.close();
    opening ??= openTunnel(options, destination, signal).finally(() => {
      opening = null;
    });
    tunnel = await opening;
  }

  function unreachable(cause: unknown): ZddError {
    const evidence: [string, string][] = [
      ['host', where],
      ['socket', options.socket],
    ];
    const said = tunnel?.said() ?? '';
    if (said !== '') evidence.push(['ssh says', said]);
    // ssh stands, and what it should lead to hangs up.
    const refused = said.includes('open failed') || tunnel?.alive() === true;
    return new ZddError(
      'ZDD_AGENT_UNREACHABLE',
      refused ? `sshd of ${where} did not connect to the agent` : 'the SSH connection was cut',
      {
        evidence: refused
          ? [
              ...evidence,
              ['either', 'the agent does not run, or this account is not in the group zdd,'],
              ['or', 'sshd has AllowStreamLocalForwarding no'],
            ]
          : evidence,
        tries: [`${typedSsh(destination)} ls -l ${quoted(options.socket)}`],
        cause,
      },
    );
  }

  return overHttp({
    where,
    canBeCut: true,
    reuses: false,
    ready: (signal) => ready(signal ?? AbortSignal.timeout(PATIENT_MS)),
    dial: () => ({ socketPath: tunnel?.path ?? '', agent: false }),
    unreachable,
    silent: (deadlineMs) => unreachable(new Error(`no answer within ${deadlineMs / 1_000} s`)),
    notUnderstood: (request, why) =>
      new ZddError('ZDD_PROTOCOL_MISMATCH', 'what answers is not an agent this CLI understands', {
        evidence: [
          ['host', where],
          ['socket', options.socket],
          ['request', request],
          ['why', why],
        ],
        tries: ['zdd-agent --version'],
      }),
    close() {
      tunnel?.close();
      tunnel = null;
    },
  });
}

function typedSsh(destination: Destination): string {
  return ['ssh', ...wordsOfSsh(destination).map(quoted)].join(' ');
}

interface Tunnel {
  /** The local end. */
  readonly path: string;
  alive(): boolean;
  /** ssh's own words, the last of them. */
  said(): string;
  close(): void;
}

async function openTunnel(
  { socket, acceptNew, program }: SystemSshOptions,
  destination: Destination,
  signal: AbortSignal,
): Promise<Tunnel> {
  const folder = await mkdtemp(join(tmpdir(), 'zdd-ssh-'));
  const path = join(folder, 's');
  const attended = process.stdin.isTTY === true && process.stderr.isTTY === true;
  const child = spawn(
    'sh',
    ['-c', KEEPER(program), 'sh', ...wordsFor(destination, { path, socket, acceptNew, attended })],
    { stdio: ['ignore', 'ignore', 'pipe', 'pipe'] },
  );
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-SAID);
    // "Touch your security key" and its kin are for the one who sits there.
    if (attended) process.stderr.write(text);
  });
  const tunnel = tunnelOf(child, folder, () => said.trim());
  try {
    await untilThere(tunnel, destination, attended ? PATIENT_MS : READY_MS, signal);
    return tunnel;
  } catch (cause) {
    tunnel.close();
    throw cause;
  }
}

function wordsFor(
  destination: Destination,
  {
    path,
    socket,
    acceptNew,
    attended,
  }: {
    readonly path: string;
    readonly socket: string;
    readonly acceptNew: boolean;
    readonly attended: boolean;
  },
): string[] {
  return [
    ...['-N', '-T', '-o', 'ExitOnForwardFailure=yes', '-o', 'StreamLocalBindMask=0177'],
    // Through a shared connection the forward would outlive us.
    ...['-o', 'ControlPath=none', '-o', 'ServerAliveInterval=10'],
    // Quieter, it would not say why.
    ...['-o', 'LogLevel=INFO'],
    ...(attended ? [] : ['-o', 'BatchMode=yes']),
    ...(acceptNew ? ['-o', 'StrictHostKeyChecking=accept-new'] : []),
    ...['-L', `${path}:${socket}`, ...wordsOfSsh(destination)],
  ];
}

function tunnelOf(child: ChildProcess, folder: string, said: () => string): Tunnel {
  const remove = () => rmSync(folder, { recursive: true, force: true });
  process.once('exit', remove);
  let alive = true;
  child.once('error', () => {
    alive = false;
  });
  child.once('exit', () => {
    alive = false;
  });
  const keeper = child.stdio[3];
  // The shell may be gone before it reads the end of our pipe.
  keeper?.on('error', () => {});
  return {
    path: join(folder, 's'),
    alive: () => alive,
    said,
    close() {
      keeper?.destroy();
      process.off('exit', remove);
      remove();
    },
  };
}

/** The name of a socket is there a moment before anybody listens on it. */
function takesConnections(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
}

/** ssh makes its end of the forward once it is logged in. */
async function untilThere(
  tunnel: Tunnel,
  destination: Destination,
  ms: number,
  signal: AbortSignal,
): Promise<void> {
  const end = Date.now() + ms;
  for (;;) {
    signal.throwIfAborted();
    if (await takesConnections(tunnel.path)) return;
    const late = Date.now() > end;
    if (!tunnel.alive() || late) {
      const why = late ? `not ready within ${ms / 1_000} s` : tunnel.said() || 'it said nothing';
      throw new LastingError(
        'ZDD_AGENT_UNREACHABLE',
        `ssh did not connect to ${destination.typed}`,
        {
          evidence: [['ssh says', why]],
          tries: [`${typedSsh(destination)} true`],
        },
      );
    }
    await pause(LOOK_EVERY_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}
