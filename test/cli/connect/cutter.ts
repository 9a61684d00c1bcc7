import { createServer, connect as dial, type Socket } from 'node:net';
import type { Sshd } from './sshd.ts';

/** A way to an sshd that breaks at chosen bytes: what serves the connection is killed there. */
export interface Cutter {
  /** `user@127.0.0.1:port` of the way. */
  readonly destination: string;
  readonly known: string;
  /** How often it broke so far. */
  cuts(): number;
  /** From now on each connection breaks after the next so many bytes from the host. */
  breakAfter(bytes: readonly number[]): void;
  close(): Promise<void>;
}

/** @param at port of the way; default: a free one */
export async function openCutter(sshd: Sshd, at = 0): Promise<Cutter> {
  let plan: number[] = [];
  let cuts = 0;
  /** Of the connection that stands now: how many bytes may still come. */
  let left = Number.POSITIVE_INFINITY;
  const sockets = new Set<Socket>();
  const next = () => plan.shift() ?? Number.POSITIVE_INFINITY;

  const server = createServer((near) => {
    const far = dial(sshd.port, '127.0.0.1');
    if (left === Number.POSITIVE_INFINITY) left = next();
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => sockets.delete(socket));
    }
    near.pipe(far);
    far.on('data', (chunk: Buffer) => {
      if (chunk.length < left) {
        left -= chunk.length;
        near.write(chunk);
        return;
      }
      near.write(chunk.subarray(0, left));
      left = Number.POSITIVE_INFINITY;
      cuts += 1;
      // SIGKILL to the child, as when its host goes away; and nothing more of it gets through.
      void sshd.cut();
      far.destroy();
      near.end();
    });
    far.on('end', () => near.end());
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroySoon());
  });
  await new Promise<void>((resolve) => server.listen(at, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    destination: sshd.destination.replace(/:\d+$/, `:${port}`),
    known: `[127.0.0.1]:${port}`,
    cuts: () => cuts,
    breakAfter(bytes) {
      plan = [...bytes];
      left = next();
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Numbers below `most` that look like chance and are the same in every run of a seed. */
export function numbers(seed: number, count: number, most: number): number[] {
  let state = seed;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return 1 + Math.floor((state / 2 ** 32) * most);
  });
}
