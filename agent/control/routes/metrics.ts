import { METRICS_TYPE } from '../../protocol/metrics.ts';
import type { Daemon } from '../daemon.ts';
import { Metrics } from '../metrics.ts';
import type { RouteServer } from './app.ts';

/** What Prometheus reads. */
export function metricsRoutes(server: RouteServer, daemon: Daemon): void {
  const metrics = new Metrics(daemon);
  server.get('/v1/metrics', async (_request, reply) =>
    reply.type(METRICS_TYPE).send(await metrics.text()),
  );
}
