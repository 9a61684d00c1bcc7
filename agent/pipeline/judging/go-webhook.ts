import type { Task } from '../host.ts';

/** How often somebody is asked whether to go on, and how long an answer may take, ms. */
const ASK_EVERY_MS = 5_000;
const ANSWER_MS = 5_000;

/** What came of asking so far. */
export interface GoAnswer {
  readonly go: boolean;
  /** The last answer in words. */
  readonly says: string;
}

/**
 * Asks a URL whether a canary may go on: POST with app, deployment and nothing secret; 2xx is go,
 * everything else is not yet. Never waits: a look starts a question when one is due.
 */
export function askWebhook(
  url: string,
  { app, deployment, signal }: Pick<Task, 'app' | 'deployment' | 'signal'>,
  now: () => number,
): { look(): GoAnswer } {
  let answer: GoAnswer = { go: false, says: 'no answer yet' };
  let askAt = 0;
  let asking = false;
  const question = async (): Promise<void> => {
    try {
      const reply = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'user-agent': 'zdd-agent' },
        body: JSON.stringify({ app, deployment }),
        redirect: 'error',
        signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]),
      });
      await reply.body?.cancel();
      answer = { go: reply.ok, says: `${reply.status}` };
    } catch (error) {
      const cause = error instanceof Error ? error.cause : undefined;
      const said = cause instanceof Error ? cause.message : String(error);
      answer = { go: false, says: said };
    }
  };
  return {
    look() {
      if (!asking && now() >= askAt) {
        asking = true;
        void question().finally(() => {
          asking = false;
          askAt = now() + ASK_EVERY_MS;
        });
      }
      return answer;
    },
  };
}
