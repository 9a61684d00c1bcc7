import { answeredBefore } from '../../pipeline/wishes/answered.ts';
import { Everyday } from '../../pipeline/wishes/everyday.ts';
import { type DeploymentReply, deploymentReply, errorReply } from '../../protocol/api.ts';
import {
  againRequest,
  restartRequest,
  scaleRequest,
  stopRequest,
} from '../../protocol/everyday.ts';
import type { Daemon } from '../daemon.ts';
import { onceEach } from '../once.ts';
import { inApp, type RouteServer } from './app.ts';

/** What is done with a release that is on the host: restart, scale, start, stop. */
export function everydayRoutes(server: RouteServer, { host, deploys }: Daemon): void {
  const everyday = new Everyday(host, deploys);
  const once = onceEach<DeploymentReply>((id) => answeredBefore(host, id));
  const response = { 202: deploymentReply, '4xx': errorReply };

  server.post(
    '/v1/apps/:app/restart',
    { schema: { params: inApp, body: restartRequest, response } },
    async (request, reply) => {
      const { params, body } = request;
      return reply
        .status(202)
        .send(await once(request, (id) => everyday.restart(params.app, { ...body, request: id })));
    },
  );

  server.post(
    '/v1/apps/:app/scale',
    { schema: { params: inApp, body: scaleRequest, response } },
    async (request, reply) => {
      const { app } = request.params;
      const { processes, ...wish } = request.body;
      return reply
        .status(202)
        .send(
          await once(request, (id) => everyday.scale(app, processes, { ...wish, request: id })),
        );
    },
  );

  server.post(
    '/v1/apps/:app/start',
    { schema: { params: inApp, body: againRequest, response } },
    async (request, reply) => {
      const { params, body } = request;
      return reply
        .status(202)
        .send(await once(request, (id) => everyday.start(params.app, { ...body, request: id })));
    },
  );

  server.post(
    '/v1/apps/:app/stop',
    { schema: { params: inApp, body: stopRequest, response } },
    async (request, reply) => {
      const { app } = request.params;
      const { owner } = request.body;
      return reply
        .status(202)
        .send(await once(request, (id) => everyday.stop(app, { owner, request: id })));
    },
  );
}
