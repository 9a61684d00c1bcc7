import { ZddError } from '../../protocol/errors.ts';
import { isPortFree } from './listener.ts';

/** A port that was handed out is not handed out again for this long: its app is yet to listen, ms. */
const RESERVED_MS = 10_000;

export interface PortRange {
  readonly from: number;
  readonly to: number;
}

/** The TCP ports that instances may listen on. */
export class PortPool {
  readonly #range: PortRange;
  readonly #handedOut = new Map<number, number>();
  #next: number;

  constructor(range: PortRange) {
    this.#range = range;
    this.#next = range.from;
  }

  /** A port on which nobody listens, not one of `taken`. @throws ZDD_PORT_IN_USE */
  async free(taken: ReadonlySet<number>): Promise<number> {
    const { from, to } = this.#range;
    for (let tried = 0; tried <= to - from; tried += 1) {
      const port = this.#next;
      this.#next = port >= to ? from : port + 1;
      if (taken.has(port) || this.#isReserved(port)) continue;
      this.#handedOut.set(port, performance.now());
      if (await isPortFree(port)) return port;
      this.#handedOut.delete(port);
    }
    throw new ZddError('ZDD_PORT_IN_USE', `no port from ${from} to ${to} is free`, {
      evidence: [['taken by instances', [...taken].sort((a, b) => a - b).join(' ') || 'none']],
      tries: ['zdd-agent status', `ss -ltnp 'sport >= :${from} and sport <= :${to}'`],
    });
  }

  #isReserved(port: number): boolean {
    const at = this.#handedOut.get(port);
    return at !== undefined && performance.now() - at < RESERVED_MS;
  }
}
