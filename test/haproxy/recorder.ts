import { Agent, type ClientRequest, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** One request and what became of it. */
export interface Recorded {
  readonly kind: string;
  /** `200 r1`, `503`, `ECONNRESET`. */
  readonly outcome: string;
  readonly ok: boolean;
}

/** A bounded load that records each of its requests and never sends one again. */
export interface Recorder {
  readonly records: readonly Recorded[];
  /** Ends it; every request in flight is waited for. */
  stop(): Promise<readonly Recorded[]>;
}

const KINDS = ['keepalive', 'idle', 'fresh', 'slow', 'post', 'stream'] as const;

/** Two clients of each kind, each with its own connection. */
export function record(port: number): Recorder {
  const records: Recorded[] = [];
  let stopping = false;
  const agents: Agent[] = [];
  const clients = KINDS.flatMap((kind) =>
    [0, 1].map(async (client) => {
      const agent = new Agent({ keepAlive: kind !== 'fresh', maxSockets: 1 });
      agents.push(agent);
      for (let n = 0; !stopping; n += 1) {
        const outcome = await one(port, kind, agent, `${kind}-${client}-${n}`);
        records.push({ kind, outcome, ok: /^200 /.test(outcome) });
        await sleep(kind === 'idle' ? 20 + (n % 5) * 60 : 3);
      }
    }),
  );
  return {
    records,
    async stop() {
      stopping = true;
      await Promise.all(clients);
      for (const agent of agents) agent.destroy();
      return records;
    },
  };
}

function one(
  port: number,
  kind: (typeof KINDS)[number],
  agent: Agent,
  id: string,
): Promise<string> {
  return new Promise((resolve) => {
    const post = kind === 'post';
    const sent: ClientRequest = request(
      {
        host: '127.0.0.1',
        port,
        agent,
        method: post ? 'POST' : 'GET',
        path: `/${kind}?id=${id}`,
        timeout: 15_000,
      },
      (response) => {
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
        });
        response.on('error', (error) => resolve(`cut: ${error.message}`));
        response.on('end', () => {
          const release = response.headers['x-release'];
          const whole = kind !== 'stream' || bytes === 5 * 100;
          resolve(
            response.complete && whole ? `${response.statusCode} ${release ?? ''}`.trim() : 'cut',
          );
        });
      },
    );
    sent.on('timeout', () => sent.destroy(new Error('timeout')));
    sent.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    sent.end(post ? Buffer.alloc(4_096, 'x') : undefined);
  });
}

/** What an app of the lab answers to the recorder's kinds. */
export async function answerKinds(
  name: string,
  request_: { url?: string | undefined; resume(): unknown; on(e: 'end', l: () => void): unknown },
  response: { write(chunk: string): unknown; end(chunk?: string): unknown },
): Promise<void> {
  if (request_.url?.startsWith('/slow') === true) {
    await sleep(200);
    response.end(name);
  } else if (request_.url?.startsWith('/stream') === true) {
    for (let part = 0; part < 5; part += 1) {
      response.write('x'.repeat(100));
      await sleep(30);
    }
    response.end();
  } else {
    request_.on('end', () => response.end(name));
    request_.resume();
  }
}
