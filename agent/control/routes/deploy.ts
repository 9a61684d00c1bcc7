import { z } from 'zod';
import { answeredBefore } from '../../pipeline/wishes/answered.ts';
import { rollback } from '../../pipeline/wishes/rollback.ts';
import {
  artifactReply,
  type DeploymentReply,
  deploymentReply,
  deployRequest,
  errorReply,
  rollbackRequest,
  steerRequest,
} from '../../protocol/api.ts';
import type { Daemon } from '../daemon.ts';
import { clientGone } from '../ndjson.ts';
import { onceEach } from '../once.ts';
import { inApp, type RouteServer } from './app.ts';

/** What begins or steers a deployment. */
export function deployRoutes(server: RouteServer, daemon: Daemon): void {
  const { host, deploys } = daemon;
  const once = onceEach<DeploymentReply>((id) => answeredBefore(host, id));
  const steered = { 202: deploymentReply, '4xx': errorReply };

  server.post(
    '/v1/artifacts',
    {
      // As every upload: see uploads.ts.
      config: { audit: false },
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
    async (request, reply) =>
      reply
        .status(202)
        .send(await once(request, (id) => deploys.deploy({ ...request.body, request: id }))),
  );

  server.post(
    '/v1/apps/:app/rollback',
    { schema: { params: inApp, body: rollbackRequest, response: steered } },
    async (request, reply) => {
      const { params, body } = request;
      return reply
        .status(202)
        .send(
          await once(request, (id) =>
            rollback(host, deploys, params.app, { ...body, request: id }),
          ),
        );
    },
  );

  server.post(
    '/v1/apps/:app/abort',
    { schema: { params: inApp, body: steerRequest, response: steered } },
    async (request, reply) => {
      const { app } = request.params;
      const { owner } = request.body;
      return reply
        .status(202)
        .send(await once(request, (id) => deploys.abort(app, { owner, request: id })));
    },
  );
}
