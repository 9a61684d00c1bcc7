import { connect, createServer, type Socket } from 'node:net';
import { Transform } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';

/** A TCP port that leads to another one and counts what passes, both ways. */
export interface Relay {
  readonly port: number;
  /** Bytes since the last time this was asked. */
  taken(): number;
  /**
   * Calls `then` once, as soon as so many more bytes have gone there. No more of them go before it is
   * done: what it does to the way meets it in use, however slow the machine is.
   */
  after(bytes: number, then: () => Promise<unknown>): void;
  close(): Promise<void>;
}

export interface RelayOptions {
  /** How fast bytes go there; as fast as they come unless given. */
  readonly bytesPerSecond?: number;
}

export async function openRelay(to: number, { bytesPerSecond }: RelayOptions = {}): Promise<Relay> {
  let bytes = 0;
  let watch: { left: number; then: () => Promise<unknown> } | null = null;
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(to, '127.0.0.1');
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.setNoDelay();
      socket.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      socket.on('close', () => {
        sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
      socket.on('error', () => socket.destroy());
    }
    const there = bytesPerSecond === undefined ? far : paced(bytesPerSecond);
    near.on('data', (chunk: Buffer) => {
      if (watch === null) return;
      watch.left -= chunk.length;
      if (watch.left > 0) return;
      const { then } = watch;
      watch = null;
      near.unpipe(there);
      near.pause();
      void then().finally(() => near.pipe(there));
    });
    near.pipe(there);
    if (there !== far) there.pipe(far);
    far.pipe(near);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    port: address.port,
    taken() {
      const taken = bytes;
      bytes = 0;
      return taken;
    },
    after(left, then) {
      watch = { left, then };
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function paced(bytesPerSecond: number): Transform {
  return new Transform({
    highWaterMark: 16 * 1024,
    transform(chunk: Buffer, _encoding, done) {
      pause((chunk.length / bytesPerSecond) * 1_000).then(() => done(null, chunk));
    },
  });
}
