import { lockApp, unlockApp } from '../../pipeline/wishes/lock.ts';
import { maintenanceOff, maintenanceOn } from '../../pipeline/wishes/maintenance.ts';
import { errorReply } from '../../protocol/api.ts';
import { gateReply, lockRequest, maintenanceRequest, unlockRequest } from '../../protocol/gate.ts';
import type { Daemon } from '../daemon.ts';
import { assertKnown, inApp, type RouteServer } from './app.ts';

/** What keeps people from an app: a lock those who deploy, maintenance those who visit. */
export function gateRoutes(server: RouteServer, daemon: Daemon): void {
  const { host, deploys, signal } = daemon;
  const response = { 200: gateReply, '4xx': errorReply };

  server.post(
    '/v1/apps/:app/lock',
    { schema: { params: inApp, body: lockRequest, response } },
    async ({ params: { app }, body: { owner, message, forMs = null } }) => {
      assertKnown(daemon, app);
      const result = lockApp(host, app, { owner, message, forMs });
      return { app, result, reloaded: false };
    },
  );

  server.post(
    '/v1/apps/:app/unlock',
    { schema: { params: inApp, body: unlockRequest, response } },
    async ({ params: { app }, body: { owner } }) => {
      assertKnown(daemon, app);
      return { app, result: unlockApp(host, app, owner), reloaded: false };
    },
  );

  server.post(
    '/v1/apps/:app/maintenance',
    { schema: { params: inApp, body: maintenanceRequest, response } },
    async ({ params: { app }, body }) => {
      assertKnown(daemon, app);
      // After a boot: before the agent is in order, nothing may run yet that could answer.
      deploys.assertOpen();
      if (!body.on) return await maintenanceOff(host, app, body.owner, signal);
      const { owner, message, forMs = null, page = null, allow, retryAfterS } = body;
      return await maintenanceOn(host, app, { owner, message, forMs, page, allow, retryAfterS });
    },
  );
}
