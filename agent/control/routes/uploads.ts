import { z } from 'zod';
import { finishUpload, lackingFiles } from '../../pipeline/receive.ts';
import { artifactReply, errorReply } from '../../protocol/api.ts';
import { ZddError } from '../../protocol/errors.ts';
import { appendQuery, finishRequest, uploadParams, uploadReply } from '../../protocol/uploads.ts';
import type { Daemon } from '../daemon.ts';
import { clientGone } from '../ndjson.ts';
import type { RouteServer } from './app.ts';

function stopping(cause: unknown): ZddError {
  return new ZddError('ZDD_AGENT_BUSY', 'the agent is stopping', {
    tries: ['zdd-agent status'],
    cause,
  });
}

/** Bytes change nothing before they are deployed, and that has a name in the audit. */
const UNNAMED = { audit: false };

/** Artifacts that come in pieces; see `protocol/uploads.ts`. */
export function uploadRoutes(server: RouteServer, daemon: Daemon): void {
  const { host } = daemon;
  const { uploads } = host.artifacts;
  const replies = { 200: uploadReply, '4xx': errorReply };

  server.get(
    '/v1/uploads/:id',
    { schema: { params: uploadParams, response: replies } },
    async ({ params: { id } }) => ({ offset: await uploads.offset(id) }),
  );

  server.post(
    '/v1/uploads/:id',
    {
      config: UNNAMED,
      schema: { params: uploadParams, querystring: appendQuery, response: replies },
    },
    async (request, reply) => {
      const { id } = request.params;
      const { offset: from, bytes, app } = request.query;
      const signal = clientGone(reply, daemon.signal);
      const offset = await uploads
        .append(id, from, request.raw, {
          ...(bytes === undefined ? {} : { announced: bytes }),
          signal,
        })
        .catch((cause: unknown) => {
          // What has come stays: the sender goes on once the agent is back.
          throw daemon.signal.aborted ? stopping(cause) : cause;
        });
      if (app === undefined) return { offset };
      return { offset, lacking: await lackingFiles(host, app, id, signal) };
    },
  );

  server.post(
    '/v1/uploads/:id/finish',
    {
      config: UNNAMED,
      schema: {
        params: uploadParams,
        body: finishRequest,
        response: { 200: artifactReply, '4xx': errorReply },
      },
    },
    async ({ params: { id }, body }) => await finishUpload(host, id, body),
  );

  server.post(
    '/v1/uploads/:id/cancel',
    {
      config: UNNAMED,
      schema: { params: uploadParams, body: z.strictObject({}), response: replies },
    },
    async ({ params: { id } }) => {
      await uploads.cancel(id);
      host.countedOn.delete(id);
      return { offset: 0 };
    },
  );
}
