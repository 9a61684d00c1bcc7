import { z } from 'zod';
import { releasesInUse } from '../../core/retention.ts';
import {
  deploymentDetail,
  doctorReply,
  errorReply,
  releasesReply,
  versionReply,
} from '../../protocol/api.ts';
import { API_VERSION } from '../../protocol/contact.ts';
import { ZddError } from '../../protocol/errors.ts';
import { PREVIEW } from '../../protocol/preview.ts';
import { appStatus as appStatusSchema, statusReply } from '../../protocol/status.ts';
import { UPLOADS } from '../../protocol/uploads.ts';
import type { Daemon } from '../daemon.ts';
import { examine } from '../doctor/examine.ts';
import { oldWorkers } from '../haproxy-findings.ts';
import { appStatus, attention } from '../status.ts';
import { assertKnown, inApp, type RouteServer } from './app.ts';

const LOOK_MS = 5_000;
/** Every command of the CLI begins with this question: a HAProxy that hangs must not slow it down. */
const VERSION_LOOK_MS = 500;

/** What is asked and changes nothing. */
export function readRoutes(server: RouteServer, daemon: Daemon): void {
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
    features: [UPLOADS, PREVIEW],
  }));

  server.get('/v1/status', { schema: { response: { 200: statusReply } } }, async () => {
    const signal = AbortSignal.timeout(LOOK_MS);
    const states = host.journal.apps().map((app) => host.journal.state(app));
    return {
      schemaVersion: 1 as const,
      agent: daemon.version,
      apps: await Promise.all(states.map((state) => appStatus(host, state, signal))),
      haproxy: await oldWorkers(host, signal),
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
                : state.stopped?.release === release
                  ? ('stopped' as const)
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
