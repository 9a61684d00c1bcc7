import type { Duplex } from 'node:stream';
import { errorBody } from '../../agent/protocol/error-body.ts';
import { ZddError } from '../../agent/protocol/errors.ts';
import {
  EXEC_PING_MS,
  type ExecOpen,
  encodeFrame,
  execEnded,
  execRefused,
  type Frame,
  FrameReader,
  STDIN_WINDOW,
} from '../../agent/protocol/exec.ts';
import type { Context } from '../context.ts';
import { Interrupted } from '../interrupt.ts';
import type { Terminal } from './terminal.ts';

/** The largest piece of stdin that goes as one frame, bytes. */
const PIECE = 64 * 1024;

export interface Talk {
  readonly stream: Duplex;
  readonly open: ExecOpen;
  readonly terminal: Terminal | null;
  /** Where the agent is, for errors. */
  readonly where: string;
  readonly context: Context;
}

/**
 * Passes bytes between this process and the command until that has ended.
 * @returns its exit code. @throws the agent's error; ZDD_EXEC_FAILED when the connection is cut;
 *   Interrupted by a signal, or when whoever read our output has gone
 */
export function talk({ stream, open, terminal, where, context }: Talk): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const { interrupts, screen } = context;
  const reader = new FrameReader();
  const leave = (): void => reject(new Interrupted());
  const ping = setInterval(() => stream.write(encodeFrame('ping')), EXEC_PING_MS);
  const giveBack = interrupts.take(leave);
  if (interrupts.signal.aborted) leave();
  screen.closed.addEventListener('abort', leave, { once: true });
  const input = feed(stream);

  const take = ({ kind, payload }: Frame): void => {
    switch (kind) {
      case 'started':
        terminal?.onResize((size) => stream.write(encodeFrame('resize', JSON.stringify(size))));
        input.begin();
        return;
      case 'stdout':
        show(process.stdout, payload, stream);
        return;
      case 'stderr':
        show(process.stderr, payload, stream);
        return;
      case 'taken':
        input.taken(payload.readUInt32BE(0));
        return;
      case 'ended':
        resolve(execEnded.parse(JSON.parse(payload.toString('utf8'))).code);
        return;
      case 'refused':
        reject(refusalOf(payload));
        return;
      default:
        return;
    }
  };
  stream.on('data', (bytes: Buffer) => {
    try {
      for (const frame of reader.push(bytes)) take(frame);
    } catch (cause) {
      reject(cut(where, cause));
    }
  });
  stream.on('error', (cause) => reject(cut(where, cause)));
  stream.on('close', () => reject(cut(where, undefined)));
  stream.on('end', () => reject(cut(where, undefined)));
  stream.write(encodeFrame('open', JSON.stringify(open)));

  return promise.finally(() => {
    clearInterval(ping);
    giveBack();
    input.end();
  });
}

/** Our stdin, as far as the command takes it. */
function feed(stream: Duplex): { begin(): void; taken(bytes: number): void; end(): void } {
  const { stdin } = process;
  let window = STDIN_WINDOW;
  const send = (bytes: Buffer): void => {
    for (let at = 0; at < bytes.length; at += PIECE) {
      stream.write(encodeFrame('stdin', bytes.subarray(at, at + PIECE)));
    }
    window -= bytes.length;
    if (window <= 0) stdin.pause();
  };
  const over = (): void => {
    stream.write(encodeFrame('stdinEnd'));
  };
  return {
    begin() {
      stdin.on('data', send).once('end', over).once('error', over);
    },
    taken(bytes) {
      window += bytes;
      if (window > 0 && stdin.isPaused()) stdin.resume();
    },
    end() {
      stdin.off('data', send).off('end', over).off('error', over);
      stdin.pause();
    },
  };
}

/** A reader that is slow slows the command down. */
function show(to: NodeJS.WriteStream, bytes: Buffer, from: Duplex): void {
  if (to.destroyed || !to.writable || to.write(bytes)) return;
  from.pause();
  to.once('drain', () => from.resume());
}

function refusalOf(payload: Buffer): ZddError {
  const { error } = execRefused.parse(JSON.parse(payload.toString('utf8')));
  return ZddError.fromBody(errorBody.parse(error));
}

function cut(where: string, cause: unknown): ZddError {
  return new ZddError('ZDD_EXEC_FAILED', 'the connection was cut; the command is ended there', {
    evidence: [['agent', where]],
    tries: ['zdd-agent status'],
    cause,
  });
}
