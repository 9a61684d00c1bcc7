import type { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { z } from 'zod';
import { type ExecPlan, planExec } from '../../pipeline/wishes/exec.ts';
import type { Verified } from '../../protocol/audit.ts';
import { ZddError } from '../../protocol/errors.ts';
import { encodeTaken, execOpen, type Frame, terminalSize } from '../../protocol/exec.ts';
import { orAborted } from '../../runner/process/wait.ts';
import type { ExecSession } from '../../runner/runner.ts';
import type { Daemon } from '../daemon.ts';
import type { ExecClient } from './client.ts';

/** At a time, on this host: each is a shell that somebody has open. */
const MOST = 32;
/** How long a client may take to say what it wants, ms. */
const OPEN_MS = 10_000;
/** From SIGHUP to SIGKILL when the client has gone, ms. */
const GRACE_MS = 5_000;
/** The same when the daemon itself is told to leave, ms. */
const LEAVING_GRACE_MS = 1_000;

/** Who is at the other end. */
export interface ExecPeer {
  /** Version of the CLI, as it says. */
  readonly cli: string | null;
  /** What the agent found out by itself. */
  readonly verified: Promise<Verified | null>;
}

/** Runs the sessions of `zdd-agent exec`; each ends with its client and with the daemon. */
export class ExecSessions {
  readonly #daemon: Daemon;
  #running = 0;

  constructor(daemon: Daemon) {
    this.#daemon = daemon;
  }

  /** Serves one client to the end of its session. Never throws. */
  async serve(app: string, client: ExecClient, peer: ExecPeer): Promise<void> {
    const { signal, host } = this.#daemon;
    this.#running += 1;
    let act: number | null = null;
    let outcome = 'done';
    try {
      const over = AbortSignal.any([client.gone, signal]);
      if (this.#running > MOST) {
        throw new ZddError('ZDD_EXEC_FAILED', `${MOST} commands run on this host already`, {
          tries: [`zdd-agent events --app ${app}`],
        });
      }
      const wish = await askedBy(client, over);
      const plan = planExec(host, app, wish);
      act = this.#audit(app, plan, wish.owner, peer);
      const session = await host.runner.exec(plan.spec, over);
      await this.#relay(app, wish.owner, plan, session, client);
    } catch (error) {
      const thrown = signal.aborted ? signal.reason : error;
      const { code } = client.refuse(thrown);
      outcome = client.gone.aborted ? 'left' : code;
      if (code === 'ZDD_BUG' && !client.gone.aborted) {
        host.log.error({ app, err: error }, 'a command could not be run');
      }
    } finally {
      this.#running -= 1;
      await client.close();
      if (act !== null) await this.#auditEnd(act, peer, outcome);
    }
  }

  /** Before it is done, so that nothing done is missing there. Arguments may be secrets. */
  #audit(app: string, { shown, release }: ExecPlan, owner: string, { cli }: ExecPeer): number {
    const { audit } = this.#daemon.host;
    return audit.begin({
      app,
      verb: 'exec',
      details: { command: shown, release },
      claimed: { owner, cli },
    });
  }

  async #auditEnd(act: number, { verified }: ExecPeer, outcome: string): Promise<void> {
    const { audit, log } = this.#daemon.host;
    try {
      audit.end(act, { verified: await verified, deployment: null, outcome });
    } catch (error) {
      log.error({ err: error }, 'audit cannot be written');
    }
  }

  async #relay(
    app: string,
    owner: string,
    { spec, release, process, shown }: ExecPlan,
    session: ExecSession,
    client: ExecClient,
  ): Promise<void> {
    const { signal, host } = this.#daemon;
    const began = performance.now();
    const about = { app, deployment: null, session: spec.name, command: shown } as const;
    const tty = spec.tty !== null;
    let told = false;
    const tellEnd = (code: number | null): void => {
      const ms = Math.round(performance.now() - began);
      if (!told) host.journal.tell({ ...about, type: 'exec_ended', code, ms });
      told = true;
    };
    try {
      host.journal.tell({ ...about, type: 'exec_started', owner, release, process, tty });
      client.send('started', JSON.stringify({ session: spec.name, release }));
      const output = Promise.all([
        forward(session.stdout, 'stdout', client),
        forward(session.stderr, 'stderr', client),
      ]);
      client.onFrame((frame) => take(frame, session, client));
      const over = AbortSignal.any([client.gone, signal]);
      const code = await orAborted(session.ended, over);
      // What the command has left behind would hold its streams open.
      const ended = session.end(0);
      await orAborted(output, over);
      if (code === null) throw cut();
      tellEnd(code);
      client.send('ended', JSON.stringify({ code }));
      await ended;
    } finally {
      await session.end(signal.aborted ? LEAVING_GRACE_MS : GRACE_MS);
      session.release();
      tellEnd(null);
    }
  }
}

/** @throws ZDD_USAGE for what is no wish; the reason of `signal` */
async function askedBy(
  client: ExecClient,
  signal: AbortSignal,
): Promise<z.output<typeof execOpen>> {
  const { promise, resolve } = Promise.withResolvers<Frame>();
  client.onFrame(resolve);
  const frame = await orAborted(promise, AbortSignal.any([signal, AbortSignal.timeout(OPEN_MS)]));
  const wish = execOpen.safeParse(frame.kind === 'open' ? parse(frame.payload) : undefined);
  if (wish.success) return wish.data;
  const problem = wish.error.issues[0];
  throw new ZddError('ZDD_USAGE', `${problem?.path.join('.')}: ${problem?.message}`);
}

function take({ kind, payload }: Frame, session: ExecSession, client: ExecClient): void {
  switch (kind) {
    case 'stdin':
      session.stdin.write(payload, () => client.sendFrame(encodeTaken(payload.length)));
      return;
    case 'stdinEnd':
      session.stdin.end();
      return;
    case 'resize': {
      const size = terminalSize.safeParse(parse(payload));
      if (size.success) session.resize(size.data);
      return;
    }
    default:
      // A ping has done its work by coming; what a newer client says beside is no matter.
      return;
  }
}

/** Resolves at the end of the stream, with everything handed to the client. */
async function forward(
  stream: Readable,
  kind: 'stdout' | 'stderr',
  client: ExecClient,
): Promise<void> {
  stream.on('data', (bytes: Buffer) => {
    if (client.send(kind, bytes)) return;
    stream.pause();
    client.drained(() => stream.resume());
  });
  await finished(stream, { writable: false }).catch(() => {});
}

function parse(payload: Buffer): unknown {
  try {
    return JSON.parse(payload.toString('utf8'));
  } catch {
    return undefined;
  }
}

function cut(): ZddError {
  return new ZddError('ZDD_EXEC_FAILED', 'the command was ended from outside', {
    evidence: [['either', 'it ran out of memory, or an admin has stopped its unit']],
    traffic: 'untouched',
    tries: ['zdd-agent doctor'],
  });
}
