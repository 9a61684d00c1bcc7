import { API_VERSION } from '../../agent/protocol/contact.ts';
import { ZddError } from '../../agent/protocol/errors.ts';
import type { Connection } from './connection.ts';

/**
 * @returns the features of the agent
 * @throws ZDD_PROTOCOL_MISMATCH unless the agent speaks our version of the API.
 */
export async function negotiate(
  connection: Connection,
  signal?: AbortSignal,
): Promise<ReadonlySet<string>> {
  const reply = await connection.request(
    'GET',
    '/v1/version',
    async () => {
      const { z } = await import('zod');
      // Loose: of an agent with another API nothing but these two is certain.
      return z.looseObject({
        api: z.int(),
        agent: z.string(),
        features: z.array(z.string()).catch([]),
      });
    },
    signal ? { signal } : {},
  );
  if (reply.api === API_VERSION) return new Set(reply.features);
  const newer = reply.api > API_VERSION;
  throw new ZddError(
    'ZDD_PROTOCOL_MISMATCH',
    `the agent is too ${newer ? 'new' : 'old'} for this CLI`,
    {
      evidence: [
        ['agent', `${reply.agent}, API ${reply.api}`],
        ['this CLI', `API ${API_VERSION}`],
        ['mend', `update ${newer ? 'this CLI' : 'the agent'}`],
      ],
      tries: ['zdd-agent --version'],
    },
  );
}
