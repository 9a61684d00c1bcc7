import { ZddError } from '../../../agent/protocol/errors.ts';
import { RefusedByAgent } from '../refused-by-agent.ts';
import { type Exchange, failure } from './exchange.ts';
import type { Way } from './way.ts';

/**
 * Reads the whole answer, JSON or text, and ends the exchange.
 * @param what was asked, for people
 * @throws the agent's error when it is one; as `failure`
 */
export async function readAnswer(
  way: Way,
  what: string,
  { response, watch, close }: Exchange,
): Promise<unknown> {
  try {
    let text = '';
    response.setEncoding('utf8');
    for await (const chunk of response) text += String(chunk);
    const status = response.statusCode ?? 0;
    const isText = response.headers['content-type']?.startsWith('text/plain') === true;
    const value = isText
      ? text
      : parse(text, (why) => way.notUnderstood(what, `HTTP ${status}: ${why}`));
    if (status >= 200 && status < 300) return value;
    throw await refusal(way, value, status, what);
  } catch (cause) {
    throw failure(way, cause, watch);
  } finally {
    close();
  }
}

async function refusal(way: Way, value: unknown, status: number, what: string): Promise<ZddError> {
  const { errorReply } = await import('../../../agent/protocol/api.ts');
  const known = errorReply.safeParse(value);
  if (known.success) return new RefusedByAgent(known.data.error);
  // The agent's server turns away what comes while it closes, in words of its own.
  if (status === 503) {
    return new ZddError('ZDD_AGENT_BUSY', 'the agent is stopping', {
      tries: ['zdd-agent status'],
    });
  }
  return way.notUnderstood(what, `HTTP ${status}: ${JSON.stringify(value).slice(0, 300)}`);
}

function parse(text: string, refuse: (why: string) => ZddError): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw refuse(text.slice(0, 200) || 'an empty answer');
  }
}
