import { contract } from '../../pipeline/wishes/contract.ts';
import { errorReply } from '../../protocol/api.ts';
import { contractReply, contractRequest } from '../../protocol/contract.ts';
import type { Daemon } from '../daemon.ts';
import { assertKnown, inApp, type RouteServer } from './app.ts';

/** The second half of migrations: what older releases need is taken away. */
export function contractRoutes(server: RouteServer, daemon: Daemon): void {
  server.post(
    '/v1/apps/:app/contract',
    {
      schema: {
        params: inApp,
        body: contractRequest,
        response: { 202: contractReply, '4xx': errorReply },
      },
    },
    async ({ params: { app }, body }, reply) => {
      assertKnown(daemon, app);
      const { host, deploys, signal } = daemon;
      return reply.status(202).send(contract(host, deploys, app, body, signal));
    },
  );
}
