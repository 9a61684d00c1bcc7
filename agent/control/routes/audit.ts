import { auditQuery, auditReply } from '../../protocol/audit.ts';
import type { Daemon } from '../daemon.ts';
import type { RouteServer } from './app.ts';

/** Who did what. Written by `audit-hook.ts`. */
export function auditRoutes(server: RouteServer, { host }: Daemon): void {
  server.get(
    '/v1/audit',
    { schema: { querystring: auditQuery, response: { 200: auditReply } } },
    async ({ query }) => ({ schemaVersion: 1 as const, entries: host.audit.list(query) }),
  );
}
