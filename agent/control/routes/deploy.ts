import { z } from 'zod';
import {
  artifactReply,
  deploymentReply,
  deployRequest,
  errorReply,
  rollbackRequest,
  steerRequest,
} from '../../protocol/api.ts';
import type { Daemon } from '../daemon.ts';
import { clientGone } from '../ndjson.ts';
import { inApp, type RouteServer } from './app.ts';

/** What begins or steers a deployment. */
export function deployRoutes(server: RouteServer, daemon: Daemon): void {
  const { host, deploys } = daemon;
  const steered = { 202: deploymentReply, '4xx': errorReply };

  server.post(
    '/v1/artifacts',
    {
      schema: {
        headers: z.object({
          'content-length': z.coerce.number().int().min(1),
          'x-zdd-sha256': z
            .string()
            .regex(/^[0-9a-f]{64}$/)
            .optional(),
        }),
        response: { 200: artifactReply, '4xx': errorReply },
      },
    },
    async (request, reply) => {
      const { 'content-length': length, 'x-zdd-sha256': sha256 } = request.headers;
      return await host.artifacts.receive(request.raw, {
        length,
        ...(sha256 === undefined ? {} : { sha256 }),
        signal: clientGone(reply, daemon.signal),
      });
    },
  );

  server.post(
    '/v1/deployments',
    { schema: { body: deployRequest, response: steered } },
    async ({ body }, reply) => reply.status(202).send(await deploys.deploy(body)),
  );

  server.post(
    '/v1/apps/:app/rollback',
    { schema: { params: inApp, body: rollbackRequest, response: steered } },
    async ({ params: { app }, body: { release, owner, force } }, reply) =>
      reply.status(202).send(await deploys.rollback(app, release, owner, force)),
  );

  server.post(
    '/v1/apps/:app/abort',
    { schema: { params: inApp, body: steerRequest, response: steered } },
    async ({ params: { app }, body: { owner } }, reply) =>
      reply.status(202).send(await deploys.abort(app, owner)),
  );

  server.post(
    '/v1/apps/:app/promote',
    { schema: { params: inApp, body: steerRequest, response: steered } },
    async ({ params: { app }, body: { owner } }, reply) =>
      reply.status(202).send(await deploys.promote(app, owner)),
  );
}
