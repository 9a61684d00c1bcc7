import { Agent, get } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { now } from '../load/outcome.ts';

const CLIENTS = 4;
const THINK_MS = 60;
const DEADLINE_MS = 10_000;

/** A request by https that had no good answer. */
export interface TlsLoss {
  readonly start: number;
  readonly end: number;
  readonly detail: string;
}

/**
 * Clients by https, half of which shake hands for each request. Each checks the certificate against
 * `ca` and the name, and no request is ever sent again.
 */
export class TlsClients {
  readonly losses: TlsLoss[] = [];
  readonly #clients: readonly Promise<void>[];
  #requests = 0;
  #stopping = false;

  constructor(port: number, name: string, ca: string) {
    this.#clients = Array.from({ length: CLIENTS }, async (_, client) => {
      const agent = new Agent({ keepAlive: client % 2 === 0, maxSockets: 1, maxCachedSessions: 0 });
      while (!this.#stopping) {
        const start = now();
        const detail = await ask({ host: '127.0.0.1', port, servername: name, ca, agent });
        this.#requests += 1;
        if (detail !== undefined) this.losses.push({ start, end: now(), detail });
        await sleep(THINK_MS);
      }
      agent.destroy();
    });
  }

  get requests(): number {
    return this.#requests;
  }

  /** What is in flight comes to its end. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#clients);
  }
}

/** @returns why it is lost; undefined when it is not */
function ask(options: {
  readonly host: string;
  readonly port: number;
  readonly servername: string;
  readonly ca: string;
  readonly agent: Agent;
}): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const headers = { host: options.servername };
  const request = get({ ...options, headers, timeout: DEADLINE_MS }, (response) => {
    response.resume();
    response.on('error', (error) => resolve(`cut: ${error.message}`));
    response.on('end', () => {
      const whole = response.complete && response.statusCode === 200;
      resolve(whole ? undefined : `${response.statusCode}, complete: ${response.complete}`);
    });
  });
  request.on('timeout', () => request.destroy(new Error('timeout')));
  request.on('error', (error) => resolve(error.message));
  return promise;
}
