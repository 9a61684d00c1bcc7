import { answeredBefore } from '../../pipeline/wishes/answered.ts';
import {
  type DeploymentReply,
  deploymentReply,
  errorReply,
  promoteRequest,
  steerRequest,
} from '../../protocol/api.ts';
import type { Daemon } from '../daemon.ts';
import { onceEach } from '../once.ts';
import { inApp, type RouteServer } from './app.ts';

/** What steers a canary, and what begins a failed one anew. */
export function canaryRoutes(server: RouteServer, { host, deploys }: Daemon): void {
  const once = onceEach<DeploymentReply>((id) => answeredBefore(host, id));
  const response = { 202: deploymentReply, '4xx': errorReply };

  server.post(
    '/v1/apps/:app/promote',
    { schema: { params: inApp, body: promoteRequest, response } },
    async (request, reply) => {
      const { app } = request.params;
      const { owner, full } = request.body;
      return reply
        .status(202)
        .send(await once(request, (id) => deploys.promote(app, { owner, request: id }, full)));
    },
  );

  for (const verb of ['pause', 'resume', 'retry'] as const) {
    server.post(
      `/v1/apps/:app/${verb}`,
      { schema: { params: inApp, body: steerRequest, response } },
      async (request, reply) => {
        const { app } = request.params;
        const { owner } = request.body;
        return reply
          .status(202)
          .send(await once(request, (id) => deploys[verb](app, { owner, request: id })));
      },
    );
  }
}
