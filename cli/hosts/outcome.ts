import type { Agent } from '../connect/agent.ts';
import type { Screen } from '../render/screen.ts';
import { table } from '../render/text.ts';

/** What became of one host of a command that changes something. */
export interface HostOutcome {
  readonly host: string;
  readonly result: 'done' | 'failed' | 'not_tried';
  /** Null when it was not tried. */
  readonly exit: number | null;
  readonly app: string | null;
  /** The release that serves there now; null when nobody could tell. */
  readonly live: string | null;
}

/** An answer that is only for the summary is not waited for long, ms. */
const LOOK_MS = 5_000;

/** Remembers which app the verb turned out to be about. */
export function noteApp(agent: Agent, note: (app: string) => void): Agent {
  return {
    ...agent,
    async deploy(request) {
      const reply = await agent.deploy(request);
      note(reply.app);
      return reply;
    },
    async steer(app, verb, body) {
      note(app);
      return agent.steer(app, verb, body);
    },
    async gate(app, verb, body) {
      note(app);
      return agent.gate(app, verb, body);
    },
    async app(app, signal) {
      note(app);
      return agent.app(app, signal);
    },
  };
}

/** What serves on a host that was just spoken with. */
export async function lookAtLive(agent: Agent, app: string): Promise<string | null> {
  return agent.app(app, AbortSignal.timeout(LOOK_MS)).then(
    ({ live }) => live,
    () => null,
  );
}

/** Which hosts have what, after a command went over several of them. */
export function showOutcomes(screen: Screen, outcomes: readonly HostOutcome[]): void {
  screen.value({ hosts: outcomes });
  const { green, red, yellow } = screen.out;
  const rows = outcomes.map(({ host, result, exit, app, live }) => [
    host,
    result === 'not_tried' ? 'not tried' : result === 'failed' ? `failed, exit ${exit}` : 'done',
    live === null ? '' : `${app ?? ''} ${live} is live`.trim(),
  ]);
  const lines = table(['host', 'result', 'serves'], rows, (text, column, row) => {
    const result = outcomes[row]?.result;
    if (column !== 1) return text;
    return result === 'done' ? green(text) : result === 'failed' ? red(text) : yellow(text);
  });
  screen.data(`\n${lines.join('\n')}`);
}
