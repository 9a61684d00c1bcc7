import { createHash, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { ZddError } from '../protocol/errors.ts';

const SHORTEST_TOKEN = 16;

/** Whether a request brings the token: `Authorization: Bearer TOKEN`. Takes as long whatever it brings. */
export function bringsToken({ headers }: IncomingMessage, token: string): boolean {
  const [, given = ''] = /^Bearer (.+)$/.exec(headers.authorization ?? '') ?? [];
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(token));
}

/**
 * The token in a file.
 * @param key of `agent.yaml` that names the file
 * @throws ZDD_AGENT_CONFIG_INVALID when it cannot be read or is too short
 */
export async function readToken(file: string, key: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new ZddError('ZDD_AGENT_CONFIG_INVALID', `${key} cannot be read: ${file}`, { cause });
  });
  const token = text.trim();
  if (token.length >= SHORTEST_TOKEN) return token;
  throw new ZddError(
    'ZDD_AGENT_CONFIG_INVALID',
    `the token in ${file} is shorter than ${SHORTEST_TOKEN} characters`,
    { tries: [`openssl rand -hex 24 > ${file}`] },
  );
}
