import { execFile } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { promisify } from 'node:util';
import { PIPES, type PipeName } from './script.ts';

const { O_RDONLY, O_RDWR, O_NONBLOCK } = constants;
const run = promisify(execFile);
/** mkfifo(1) makes five names; only a disk that hangs takes longer, ms. */
const MAKE_MS = 10_000;

/** Our ends of a session's pipes. */
export interface Pipes {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly status: Readable;
  readonly size: Writable;
  /** The session has opened its ends: from now on its going away is an end of the stream. */
  letGo(): void;
  destroy(): void;
}

/** Makes the pipes, for the owner and the group of the folder. Node.js itself cannot. */
export async function makePipes(folder: string): Promise<void> {
  const paths = PIPES.map((name) => join(folder, name));
  await run('mkfifo', ['-m', '660', '--', ...paths], { timeout: MAKE_MS });
}

/** Opens our ends; nothing waits for the other side. */
export function openPipes(folder: string): Pipes {
  const opened: number[] = [];
  const open = (name: PipeName, flags: number): number => {
    const fd = openSync(join(folder, name), flags | O_NONBLOCK);
    opened.push(fd);
    return fd;
  };
  try {
    // Without somebody who writes, a reader would be at the end before the session has begun.
    const held = [open('out', O_RDWR), open('err', O_RDWR), open('status', O_RDWR)];
    const reader = (name: PipeName): Socket =>
      new Socket({ fd: open(name, O_RDONLY), readable: true, writable: false });
    // For both as well: to write alone is refused while nobody reads, and lost when nobody does.
    const writer = (name: PipeName): Socket =>
      new Socket({ fd: open(name, O_RDWR), readable: false, writable: true });
    const streams = {
      stdin: writer('in'),
      stdout: reader('out'),
      stderr: reader('err'),
      status: reader('status'),
      size: writer('size'),
    };
    const letGo = (): void => {
      for (const fd of held.splice(0)) closeSync(fd);
    };
    for (const stream of Object.values(streams)) stream.on('error', () => {});
    return {
      ...streams,
      letGo,
      destroy() {
        letGo();
        for (const stream of Object.values(streams)) stream.destroy();
      },
    };
  } catch (error) {
    for (const fd of opened) closeSync(fd);
    throw error;
  }
}
