import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { ZddError } from '../../protocol/errors.ts';
import type { Daemon } from '../daemon.ts';

/** What a file of routes registers itself with: bodies and answers are checked by zod. */
export type RouteServer = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  ZodTypeProvider
>;

/** Parameters of everything below `/v1/apps/:app`. */
export const inApp = z.object({ app: z.string() });

/** @throws ZDD_APP_UNKNOWN */
export function assertKnown({ host }: Daemon, app: string): void {
  if (host.journal.knows(app)) return;
  throw new ZddError('ZDD_APP_UNKNOWN', `there is no app ${app} on this host`, {
    tries: ['zdd-agent status', 'zdd-agent push'],
  });
}

/** Accepts `r42` for `r42-ab12cd3`. */
export function fullName({ host }: Daemon, app: string, wanted: string): string {
  const match = host.releases
    .list(app)
    .find(({ release }) => release === wanted || release.split('-')[0] === wanted);
  return match?.release ?? wanted;
}
