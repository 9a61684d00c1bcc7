import { changeEnvironment, listEnvironment } from '../../pipeline/environment.ts';
import { errorReply } from '../../protocol/api.ts';
import {
  environmentChange,
  environmentChanged,
  environmentQuery,
  environmentReply,
} from '../../protocol/environment.ts';
import type { Daemon } from '../daemon.ts';
import { inApp, type RouteServer } from './app.ts';

/** The variables that the host keeps for an app. */
export function environmentRoutes(server: RouteServer, { host }: Daemon): void {
  server.get(
    '/v1/apps/:app/environment',
    {
      schema: {
        params: inApp,
        querystring: environmentQuery,
        response: { 200: environmentReply, '4xx': errorReply },
      },
    },
    ({ params: { app }, query: { values } }) => listEnvironment(host, app, values),
  );

  server.post(
    '/v1/apps/:app/environment',
    {
      schema: {
        params: inApp,
        body: environmentChange,
        response: { 200: environmentChanged, '4xx': errorReply },
      },
    },
    ({ params: { app }, body }) => changeEnvironment(host, app, body),
  );
}
