import { Agent, request } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';

/** Light, steady traffic of one app; each request is recorded and none is ever sent again. */
export interface Clients {
  /** Ends it; what is in flight is waited for. */
  stop(): Promise<{ readonly requests: number; readonly lost: number }>;
}

const CLIENTS = 4;
const PAUSE_MS = 10;
const ANSWER_MS = 10_000;

export function startClients(port: number, host: string): Clients {
  let requests = 0;
  let lost = 0;
  let stopping = false;
  const running = Array.from({ length: CLIENTS }, async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    while (!stopping) {
      const good = await answered(port, host, agent);
      requests += 1;
      if (!good) lost += 1;
      await wait(PAUSE_MS);
    }
    agent.destroy();
  });
  return {
    async stop() {
      stopping = true;
      await Promise.all(running);
      return { requests, lost };
    },
  };
}

function answered(port: number, host: string, agent: Agent): Promise<boolean> {
  return new Promise((resolve) => {
    const sent = request(
      { host: '127.0.0.1', port, agent, headers: { host }, timeout: ANSWER_MS },
      (response) => {
        response.on('error', () => resolve(false));
        response
          .on('end', () => resolve(response.complete && response.statusCode === 200))
          .resume();
      },
    );
    sent.on('timeout', () => sent.destroy(new Error('no answer')));
    sent.on('error', () => resolve(false));
    sent.end();
  });
}
