import { connect } from 'node:net';

/** How long a browser's client waits before it connects again, ms. */
const COME_BACK_MS = { least: 100, spread: 300 };
/** Handshakes under way at once while the crowd gathers. */
const AT_ONCE = 50;

/** One WebSocket of the crowd: which release took it, and when it was closed by the other side. */
export interface Held {
  readonly release: string;
  readonly openedAt: number;
  closedAt: number | null;
}

/**
 * Many quiet WebSockets, each of which comes back when it is closed. Raw, so that thousands of them
 * cost this process next to nothing. Times are ms since the epoch.
 */
export class Crowd {
  readonly held: Held[] = [];
  readonly #port: number;
  readonly #left = new AbortController();
  #failed = 0;

  constructor(port: number) {
    this.#port = port;
  }

  /** Handshakes that got no answer or another than 101. */
  get failed(): number {
    return this.#failed;
  }

  get open(): number {
    return this.held.filter(({ closedAt }) => closedAt === null).length;
  }

  async gather(count: number): Promise<void> {
    for (let from = 0; from < count; from += AT_ONCE) {
      const some = Math.min(AT_ONCE, count - from);
      await Promise.all(Array.from({ length: some }, () => this.#join()));
    }
  }

  /** All go at once, and none comes back. */
  leave(): void {
    this.#left.abort();
  }

  /** Resolves when the handshake is over, well or badly. */
  #join(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const socket = connect(this.#port, '127.0.0.1');
    const { signal } = this.#left;
    const leave = (): unknown => socket.destroy();
    signal.addEventListener('abort', leave, { once: true });
    let head = '';
    let held: Held | undefined;
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      if (held !== undefined) return;
      head += chunk.toString('latin1');
      if (!head.includes('\r\n\r\n')) return;
      if (!head.startsWith('HTTP/1.1 101 ')) {
        socket.destroy();
        return;
      }
      const release = /^x-release: (.*)$/im.exec(head)?.[1]?.trim() ?? '';
      held = { release, openedAt: Date.now(), closedAt: null };
      this.held.push(held);
      resolve();
    });
    socket.on('close', () => {
      signal.removeEventListener('abort', leave);
      resolve();
      if (signal.aborted) return;
      if (held === undefined) this.#failed += 1;
      else held.closedAt = Date.now();
      const { least, spread } = COME_BACK_MS;
      setTimeout(
        () => {
          if (!signal.aborted) void this.#join();
        },
        least + Math.random() * spread,
      );
    });
    socket.write(
      'GET /ws?interval=3600000 HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    return promise;
  }
}
