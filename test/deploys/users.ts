import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** What one answer said. */
export interface Visit {
  readonly status: number;
  /** `r2-01acec2`; null when nobody of the app answered. */
  readonly release: string | null;
}

/** A browser: keeps cookies, asks one page after the other. */
export class User {
  readonly visits: Visit[] = [];
  readonly #cookies = new Map<string, string>();

  get cookies(): ReadonlyMap<string, string> {
    return this.#cookies;
  }

  /** @param headers beside the cookies */
  async visit(
    url: string,
    headers: Readonly<Record<string, string>> = {},
    agent: Agent | false = false,
  ): Promise<Visit> {
    const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const visit = await new Promise<Visit>((resolve, reject) => {
      const sent = request(
        url,
        { agent, headers: { ...(cookie === '' ? {} : { cookie }), ...headers } },
        (answer) => {
          for (const line of answer.headers['set-cookie'] ?? []) {
            const [name = '', value = ''] = (line.split(';')[0] ?? '').split('=');
            this.#cookies.set(name, value);
          }
          answer.resume().on('end', () => {
            const release = answer.headers['x-release'];
            resolve({
              status: answer.statusCode ?? 0,
              release: typeof release === 'string' ? release : null,
            });
          });
        },
      );
      sent.on('error', reject);
      sent.end();
    });
    this.visits.push(visit);
    return visit;
  }
}

/** Many users who come again and again. */
export class Crowd implements AsyncDisposable {
  readonly users: readonly User[];
  #going = true;
  readonly #ended: Promise<void>;

  constructor(url: string, count: number, everyMs: number) {
    this.users = Array.from({ length: count }, () => new User());
    const agent = new Agent({ keepAlive: true, maxSockets: 8 });
    this.#ended = Promise.all(
      this.users.map(async (user, index) => {
        await sleep((everyMs * index) / count);
        while (this.#going) {
          await user.visit(url, {}, agent);
          await sleep(everyMs);
        }
      }),
    ).then(() => agent.destroy());
  }

  /** Of the last visits of all, the share that this release answered. */
  shareOf(release: string): number {
    const last = this.users.flatMap(({ visits }) => visits.at(-1) ?? []);
    return last.filter((visit) => visit.release === release).length / last.length;
  }

  async stop(): Promise<void> {
    this.#going = false;
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
