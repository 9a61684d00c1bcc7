import { eventsQuery, logsQuery } from '../../protocol/api.ts';
import type { Daemon } from '../daemon.ts';
import { streamEvents } from '../event-stream.ts';
import { clientGone, sendLines } from '../ndjson.ts';
import { assertKnown, fullName, inApp, type RouteServer } from './app.ts';

/** What goes on as long as somebody reads it. */
export function streamRoutes(server: RouteServer, daemon: Daemon): void {
  const { host } = daemon;

  server.get('/v1/events', { schema: { querystring: eventsQuery } }, (request, reply) => {
    const { follow, ...filter } = request.query;
    const signal = clientGone(reply, daemon.signal);
    return sendLines(reply, streamEvents(host.journal, filter, follow, signal));
  });

  server.get(
    '/v1/apps/:app/logs',
    { schema: { params: inApp, querystring: logsQuery } },
    (request, reply) => {
      const { app } = request.params;
      assertKnown(daemon, app);
      const { lines, follow, release, process } = request.query;
      const filter = {
        app,
        ...(release === undefined ? {} : { release: fullName(daemon, app, release) }),
        ...(process === undefined ? {} : { process }),
      };
      const signal = clientGone(reply, daemon.signal);
      return sendLines(reply, streamLogs(daemon, filter, lines, follow, signal));
    },
  );
}

async function* streamLogs(
  { host }: Daemon,
  filter: Parameters<Daemon['host']['runner']['output']>[0],
  lines: number,
  follow: boolean,
  signal: AbortSignal,
): AsyncGenerator<unknown> {
  // Following begins before the past is read, so that no line falls between the two.
  const news = follow ? host.runner.follow(filter, signal) : null;
  yield* await host.runner.output(filter, lines);
  if (news !== null) yield* news;
}
