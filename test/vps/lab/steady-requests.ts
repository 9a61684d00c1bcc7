import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** One request that was not answered as it should be. */
export interface Loss {
  readonly at: string;
  readonly what: string;
}

/**
 * Plain GETs of one page, a few at a time, over new and kept connections alike, each recorded: for a
 * site that is not an app of ours.
 */
export class SteadyRequests {
  readonly #url: string;
  readonly #expected: string;
  readonly #losses: Loss[] = [];
  readonly #workers: Promise<void>[];
  readonly #kept = new Agent({ keepAlive: true });
  #answered = 0;
  #going = true;

  /** @param expected what a right answer contains */
  constructor(url: string, expected: string) {
    this.#url = url;
    this.#expected = expected;
    this.#workers = [this.#kept, undefined, undefined].map((agent) => this.#work(agent));
  }

  get answered(): number {
    return this.#answered;
  }

  /** Lets what is under way end. */
  async stop(): Promise<{ readonly answered: number; readonly losses: readonly Loss[] }> {
    this.#going = false;
    await Promise.all(this.#workers);
    this.#kept.destroy();
    return { answered: this.#answered, losses: this.#losses };
  }

  async #work(agent: Agent | undefined): Promise<void> {
    while (this.#going) {
      const at = new Date().toISOString();
      const what = await this.#ask(agent ?? new Agent());
      if (what === null) this.#answered += 1;
      else this.#losses.push({ at, what });
      // The pace of the load, not a wait for anything.
      await sleep(10);
    }
  }

  /** @returns what is wrong with the answer, or null */
  async #ask(agent: Agent): Promise<string | null> {
    return await new Promise((resolve) => {
      const asked = request(this.#url, { agent, timeout: 10_000 }, (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (text: string) => {
          body += text;
        });
        response.on('error', (error) => resolve(error.message));
        response.on('end', () =>
          resolve(body.includes(this.#expected) ? null : `${response.statusCode}: ${body}`),
        );
      });
      asked.on('timeout', () => asked.destroy(new Error('no answer within 10 s')));
      asked.on('error', (error) => resolve(error.message));
      asked.end();
    });
  }
}
