import { Everyday } from '../../pipeline/everyday.ts';
import { deploymentReply, errorReply } from '../../protocol/api.ts';
import { againRequest, scaleRequest, stopRequest } from '../../protocol/everyday.ts';
import type { Daemon } from '../daemon.ts';
import { inApp, type RouteServer } from './app.ts';

/** What is done with a release that is on the host: restart, scale, start, stop. */
export function everydayRoutes(server: RouteServer, { host, deploys }: Daemon): void {
  const everyday = new Everyday(host, deploys);
  const response = { 202: deploymentReply, '4xx': errorReply };

  server.post(
    '/v1/apps/:app/restart',
    { schema: { params: inApp, body: againRequest, response } },
    async ({ params: { app }, body }, reply) =>
      reply.status(202).send(await everyday.restart(app, body)),
  );

  server.post(
    '/v1/apps/:app/scale',
    { schema: { params: inApp, body: scaleRequest, response } },
    async ({ params: { app }, body: { processes, ...wish } }, reply) =>
      reply.status(202).send(await everyday.scale(app, processes, wish)),
  );

  server.post(
    '/v1/apps/:app/start',
    { schema: { params: inApp, body: againRequest, response } },
    async ({ params: { app }, body }, reply) =>
      reply.status(202).send(await everyday.start(app, body)),
  );

  server.post(
    '/v1/apps/:app/stop',
    { schema: { params: inApp, body: stopRequest, response } },
    async ({ params: { app }, body: { owner } }, reply) =>
      reply.status(202).send(await everyday.stop(app, owner)),
  );
}
