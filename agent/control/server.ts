import { randomUUID } from 'node:crypto';
import { chmod, mkdir, rm, stat } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import swagger from '@fastify/swagger';
import { type FastifyInstance, fastify } from 'fastify';
import {
  hasZodFastifySchemaValidationErrors,
  jsonSchemaTransform,
  serializerCompiler,
  validatorCompiler,
} from 'fastify-type-provider-zod';
import { API_HEADER, API_VERSION } from '../protocol/contact.ts';
import { type ErrorCode, toErrorBody, ZddError } from '../protocol/errors.ts';
import { auditEveryChange } from './audit-hook.ts';
import type { Daemon } from './daemon.ts';
import { serveExec } from './exec/upgrade.ts';
import { registerRoutes } from './routes/routes.ts';

/** The control API; who may connect is decided by the permissions of its socket. */
export async function createServer(daemon: Daemon): Promise<FastifyInstance> {
  const server = fastify({
    genReqId: () => randomUUID(),
    bodyLimit: 1024 * 1024,
    // Answers under way are finished; connections that only wait are closed.
    forceCloseConnections: 'idle',
  });
  server.setValidatorCompiler(validatorCompiler);
  server.setSerializerCompiler(serializerCompiler);
  await server.register(swagger, {
    openapi: { info: { title: 'zdd-agent control API', version: daemon.version } },
    transform: jsonSchemaTransform,
  });
  // Archives are streamed to disk by their route, never collected in memory.
  server.addContentTypeParser('application/octet-stream', (_request, _payload, done) => done(null));
  server.addHook('onRequest', async (_request, reply) => {
    reply.header(API_HEADER, API_VERSION);
  });
  server.setErrorHandler((error, request, reply) => {
    const body = toErrorBody(asZddError(error));
    if (body.code === 'ZDD_BUG') {
      daemon.host.log.error({ err: error, url: request.url }, 'request failed');
    }
    return reply.status(httpStatus(body.code)).send({ error: body });
  });
  server.setNotFoundHandler((request, reply) => {
    const error = new ZddError('ZDD_USAGE', `there is no ${request.method} ${request.url}`);
    return reply.status(404).send({ error: error.toBody() });
  });
  auditEveryChange(server, daemon);
  await server.register(async (scope) => registerRoutes(scope, daemon));
  serveExec(server.server, daemon);
  return server;
}

/** SQLITE_FULL (https://sqlite.org/rescode.html#full): the journal could not be written. */
const SQLITE_FULL = 13;

function asZddError(error: unknown): unknown {
  if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_FULL) {
    return new ZddError('ZDD_DISK_FULL', 'the journal cannot be written: the disk is full', {
      traffic: 'untouched',
      tries: ['df -h', 'zdd-agent status'],
    });
  }
  if (hasZodFastifySchemaValidationErrors(error)) {
    return new ZddError('ZDD_USAGE', error.message);
  }
  if (error instanceof Error && 'statusCode' in error && Number(error.statusCode) < 500) {
    return new ZddError('ZDD_USAGE', error.message);
  }
  return error;
}

function httpStatus(code: ErrorCode): number {
  switch (code) {
    case 'ZDD_LOCKED':
    case 'ZDD_NOTHING_RUNNING':
    case 'ZDD_STOPPED':
    case 'ZDD_NOTHING_TO_ROLL_BACK':
    case 'ZDD_ROUTE_CONFLICT':
      return 409;
    case 'ZDD_APP_UNKNOWN':
    case 'ZDD_RELEASE_UNKNOWN':
    case 'ZDD_ARTIFACT_UNKNOWN':
      return 404;
    case 'ZDD_AGENT_BUSY':
      return 503;
    case 'ZDD_DISK_FULL':
      return 507;
    case 'ZDD_BUG':
      return 500;
    default:
      return 400;
  }
}

/**
 * Listens on the control socket, 0660. A socket that somebody answers on is never taken over; what
 * is no socket is never removed.
 * @throws ZDD_AGENT_BUSY when another agent listens there.
 */
export async function listen(server: FastifyInstance, path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await removeStale(path);
  const before = process.umask(0o117);
  try {
    await server.listen({ path });
  } finally {
    process.umask(before);
  }
  await chmod(path, 0o660);
}

async function removeStale(path: string): Promise<void> {
  const found = await stat(path).catch(() => null);
  if (found === null) return;
  if (!found.isSocket() || (await answers(path))) {
    throw new ZddError('ZDD_AGENT_BUSY', `${path} is in use by another agent`, {
      tries: ['systemctl status zdd-agentd'],
    });
  }
  await rm(path);
}

async function answers(path: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
