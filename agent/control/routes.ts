import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { releasesInUse } from '../core/retention.ts';
import {
  API_VERSION,
  appStatus as appStatusSchema,
  artifactReply,
  deploymentDetail,
  deploymentReply,
  deployRequest,
  doctorReply,
  errorReply,
  eventsQuery,
  logsQuery,
  releasesReply,
  rollbackRequest,
  statusReply,
  steerRequest,
  versionReply,
} from '../protocol/api.ts';
import { ZddError } from '../protocol/errors.ts';
import type { Daemon } from './daemon.ts';
import { examine } from './doctor/examine.ts';
import { streamEvents } from './event-stream.ts';
import { clientGone, sendLines } from './ndjson.ts';
import { appStatus, attention } from './status.ts';

const inApp = z.object({ app: z.string() });
const LOOK_MS = 5_000;
/** Every command of the CLI begins with this question: a HAProxy that hangs must not slow it down. */
const VERSION_LOOK_MS = 500;

/** Every route of the control API. */
export async function registerRoutes(scope: FastifyInstance, daemon: Daemon): Promise<void> {
  const server = scope.withTypeProvider<ZodTypeProvider>();
  readRoutes(server, daemon);
  streamRoutes(server, daemon);
  deployRoutes(server, daemon);
}

type Server = ReturnType<typeof typed>;
function typed(scope: FastifyInstance) {
  return scope.withTypeProvider<ZodTypeProvider>();
}

function readRoutes(server: Server, daemon: Daemon): void {
  const { host } = daemon;

  server.get('/openapi.json', { schema: { hide: true } }, () => server.swagger());

  server.get('/v1/version', { schema: { response: { 200: versionReply } } }, async () => ({
    agent: daemon.version,
    api: API_VERSION,
    haproxy: await host.proxy.info(AbortSignal.timeout(VERSION_LOOK_MS)).then(
      ({ version }) => version,
      () => null,
    ),
    runner: daemon.settings.current.runner,
    pid: process.pid,
  }));

  server.get('/v1/status', { schema: { response: { 200: statusReply } } }, async () => {
    const signal = AbortSignal.timeout(LOOK_MS);
    const states = host.journal.apps().map((app) => host.journal.state(app));
    return {
      schemaVersion: 1 as const,
      agent: daemon.version,
      apps: await Promise.all(states.map((state) => appStatus(host, state, signal))),
      attention: await attention(host, signal),
    };
  });

  server.get(
    '/v1/apps/:app',
    { schema: { params: inApp, response: { 200: appStatusSchema, '4xx': errorReply } } },
    async ({ params: { app } }) => {
      assertKnown(daemon, app);
      return await appStatus(host, host.journal.state(app), AbortSignal.timeout(LOOK_MS));
    },
  );

  server.get(
    '/v1/apps/:app/releases',
    { schema: { params: inApp, response: { 200: releasesReply, '4xx': errorReply } } },
    async ({ params: { app } }) => {
      assertKnown(daemon, app);
      const state = host.journal.state(app);
      const inUse = releasesInUse(state);
      return {
        schemaVersion: 1 as const,
        app,
        releases: host.releases
          .list(app)
          .map(({ release, createdAt, bytes, files, verdict, source }) => ({
            release,
            createdAt,
            bytes,
            files,
            source,
            state:
              state.stable?.release === release
                ? ('live' as const)
                : inUse.has(release) && verdict === 'good'
                  ? ('warm' as const)
                  : verdict,
          })),
      };
    },
  );

  server.get(
    '/v1/apps/:app/deployments/:id',
    {
      schema: {
        params: inApp.extend({ id: z.coerce.number().int().min(1) }),
        response: { 200: deploymentDetail, '4xx': errorReply },
      },
    },
    async ({ params: { app, id } }) => {
      assertKnown(daemon, app);
      const { deployment } = host.journal.state(app);
      const receipt = host.journal.receipt(app, id);
      if (receipt === null && deployment?.id !== id) {
        throw new ZddError('ZDD_NOTHING_RUNNING', `${app} has no deployment #${id}`, {
          tries: [`zdd-agent events --app ${app}`],
        });
      }
      return {
        app,
        deployment: id,
        phase: deployment?.id === id ? deployment.phase.name : null,
        outcome: receipt?.outcome ?? null,
        receipt,
      };
    },
  );

  server.get('/v1/doctor', { schema: { response: { 200: doctorReply } } }, async () => ({
    schemaVersion: 1 as const,
    findings: await examine(daemon, AbortSignal.timeout(LOOK_MS)),
  }));
}

function streamRoutes(server: Server, daemon: Daemon): void {
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

function deployRoutes(server: Server, daemon: Daemon): void {
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
    async ({ params: { app }, body: { release, owner } }, reply) =>
      reply.status(202).send(await deploys.rollback(app, release, owner)),
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

function assertKnown({ host }: Daemon, app: string): void {
  if (host.journal.knows(app)) return;
  throw new ZddError('ZDD_APP_UNKNOWN', `there is no app ${app} on this host`, {
    tries: ['zdd-agent status', 'zdd-agent push'],
  });
}

/** Accepts `r42` for `r42-ab12cd3`. */
function fullName({ host }: Daemon, app: string, wanted: string): string {
  const match = host.releases
    .list(app)
    .find(({ release }) => release === wanted || release.split('-')[0] === wanted);
  return match?.release ?? wanted;
}
