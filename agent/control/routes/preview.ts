import { preview } from '../../pipeline/wishes/preview.ts';
import { errorReply } from '../../protocol/api.ts';
import { previewReply, previewRequest } from '../../protocol/preview.ts';
import type { Daemon } from '../daemon.ts';
import { clientGone } from '../ndjson.ts';
import { inApp, type RouteServer } from './app.ts';

/** The outline of the largest release, as JSON, bytes. */
const BODY_LIMIT = 40 * 1024 * 1024;

/** What a push would change; see `protocol/preview.ts`. */
export function previewRoutes(server: RouteServer, daemon: Daemon): void {
  server.post(
    '/v1/apps/:app/preview',
    {
      bodyLimit: BODY_LIMIT,
      schema: {
        params: inApp,
        body: previewRequest,
        response: { 200: previewReply, '4xx': errorReply },
      },
    },
    async ({ params: { app }, body }, reply) =>
      await preview(daemon.host, app, body, clientGone(reply, daemon.signal)),
  );
}
