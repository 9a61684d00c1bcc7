import type { FastifyRequest } from 'fastify';

/** By it a client says that a request is the same one again: its first answer was lost on the way. */
const HEADER = 'x-zdd-request';
/** More than anybody asks within the minute in which a client tries again. */
const KEPT = 1_000;

/**
 * What begins or steers a deployment must happen once, however often a cut connection lets its
 * client ask: the answer of the first time is given again. A refusal began nothing and is not kept.
 * @param before what a daemon before this one has done for a request, and could not answer
 */
export function onceEach<Answer>(
  before: (request: string) => Answer | null,
): (
  request: FastifyRequest,
  work: (request: string | undefined) => Promise<Answer>,
) => Promise<Answer> {
  const answers = new Map<string, Promise<Answer>>();
  return (request, work) => {
    const id = request.headers[HEADER];
    if (typeof id !== 'string' || id.length > 100) return work(undefined);
    const key = `${request.url} ${id}`;
    const known = answers.get(key);
    if (known !== undefined) return known;
    const done = before(id);
    const answer = done === null ? work(id) : Promise.resolve(done);
    answers.set(key, answer);
    answer.catch(() => answers.delete(key));
    const [oldest] = answers.keys();
    if (answers.size > KEPT && oldest !== undefined) answers.delete(oldest);
    return answer;
  };
}
