import { z } from 'zod';
import { errorBody } from './error-body.ts';

/**
 * A command in a release: `GET /v1/apps/:app/exec` with `Upgrade: zdd-exec`. After the 101 both sides
 * send frames: one byte of kind, four of length (big endian), the payload. The client begins with
 * `open`; the agent answers `started` or `refused`, and ends with `ended` or `refused`.
 */
export const EXEC_PROTOCOL = 'zdd-exec';
/** Bytes of one frame's payload at most. */
const MOST = 1024 * 1024;
/** Bytes of stdin that may be under way: what the command has not taken is not sent. */
export const STDIN_WINDOW = 256 * 1024;
/** How often a client says that it is there, ms; silent for longer than the limit, it is gone. */
export const EXEC_PING_MS = 15_000;
export const EXEC_SILENCE_MS = 120_000;

const KINDS = {
  open: 0x01,
  stdin: 0x02,
  /** Nothing more comes on stdin. */
  stdinEnd: 0x03,
  resize: 0x04,
  ping: 0x05,
  started: 0x11,
  stdout: 0x12,
  stderr: 0x13,
  /** So many bytes of stdin went to the command: four bytes, big endian. */
  taken: 0x14,
  ended: 0x15,
  refused: 0x16,
} as const;
export type FrameKind = keyof typeof KINDS;
const NAMES = new Map(Object.entries(KINDS).map(([name, code]) => [code as number, name]));

export interface Frame {
  readonly kind: FrameKind;
  readonly payload: Buffer;
}

const side = z.int().min(1).max(10_000);
/** A terminal's size in characters. */
export const terminalSize = z.strictObject({ rows: side, columns: side });
export type TerminalSize = z.infer<typeof terminalSize>;

export const execOpen = z.strictObject({
  owner: z.string().max(200).default('unknown'),
  /** Null: what `console:` in zdd.yaml says, else a shell. */
  command: z.array(z.string()).min(1).max(1_000).nullable(),
  /** `r41` or `r41-ab12cd3`; default: the live one. */
  release: z.string().optional(),
  /** Whose variables and limits; default: web, else the first. */
  process: z.string().optional(),
  /** A terminal instead of three streams. */
  tty: z.strictObject({ size: terminalSize, term: z.string().regex(/^[\w.+-]{1,64}$/) }).nullable(),
});
export type ExecOpen = z.input<typeof execOpen>;
export const execStarted = z.object({ session: z.string(), release: z.string() });
/** As a shell tells it: 128 and the signal when a signal ended the command. */
export const execEnded = z.object({ code: z.int() });
export const execRefused = z.object({ error: errorBody });

/** One frame as it travels. @throws RangeError for a payload that is too long */
export function encodeFrame(kind: FrameKind, payload: Uint8Array | string = ''): Buffer {
  const body = typeof payload === 'string' ? Buffer.from(payload) : payload;
  if (body.length > MOST) throw new RangeError(`a frame holds at most ${MOST} bytes`);
  const frame = Buffer.allocUnsafe(5 + body.length);
  frame.writeUInt8(KINDS[kind], 0);
  frame.writeUInt32BE(body.length, 1);
  frame.set(body, 5);
  return frame;
}

/** The bytes of a `taken` frame. */
export function encodeTaken(bytes: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(bytes);
  return encodeFrame('taken', payload);
}

/** What came is no frame: the other side is not what it says. */
export class NotFrames extends Error {}

/** Takes frames out of bytes that come in any pieces. */
export class FrameReader {
  #kept: Buffer = Buffer.alloc(0);

  /** @returns the frames that are complete by now. @throws NotFrames */
  push(bytes: Uint8Array): Frame[] {
    this.#kept = this.#kept.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#kept, bytes]);
    const frames: Frame[] = [];
    let at = 0;
    while (this.#kept.length - at >= 5) {
      const kind = NAMES.get(this.#kept.readUInt8(at));
      const length = this.#kept.readUInt32BE(at + 1);
      if (!isKind(kind) || length > MOST) throw new NotFrames('this is not a frame');
      if (this.#kept.length - at - 5 < length) break;
      frames.push({ kind, payload: this.#kept.subarray(at + 5, at + 5 + length) });
      at += 5 + length;
    }
    this.#kept = this.#kept.subarray(at);
    return frames;
  }
}

function isKind(name: string | undefined): name is FrameKind {
  return name !== undefined && name in KINDS;
}
