import { notifyAgain } from '../../pipeline/notifications/notifications.ts';
import { errorReply } from '../../protocol/api.ts';
import { notifyReply, notifyRequest } from '../../protocol/notify.ts';
import type { Daemon } from '../daemon.ts';
import { assertKnown, inApp, type RouteServer } from './app.ts';

/** Telling once more how a deployment has ended. */
export function notifyRoutes(server: RouteServer, daemon: Daemon): void {
  server.post(
    '/v1/apps/:app/notify',
    {
      schema: {
        params: inApp,
        body: notifyRequest,
        response: { 200: notifyReply, '4xx': errorReply },
      },
    },
    async ({ params: { app }, body }) => {
      assertKnown(daemon, app);
      return notifyAgain(daemon.host, app, body.deployment);
    },
  );
}
