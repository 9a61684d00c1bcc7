import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { identify } from '../observe/ssh-logins.ts';
import type { Claimed, Verified } from '../protocol/audit.ts';
import { CLI_HEADER, OWNER_HEADER } from '../protocol/contact.ts';
import type { Daemon } from './daemon.ts';
import { peerUid } from './peer.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** `false`: the audit does not name it. For parts of a whole that is audited itself. */
    audit?: boolean;
  }
}

/**
 * Fields of a request's body that the audit keeps. Nothing else of it: bodies hold environments, and
 * environments hold secrets.
 */
const KEPT_FIELDS: ReadonlySet<string> = new Set([
  'artifact',
  'source',
  'release',
  'force',
  'acrossContract',
  'now',
  'message',
  'forMs',
  'on',
  'allow',
  'process',
  'processes',
  'instances',
  'scale',
]);
const MAX_DETAIL = 200;

/** One request on its way. */
interface Act {
  readonly seq: number;
  readonly verified: Promise<Verified | null>;
  /** What is answered, before it is text. */
  answer: unknown;
}

/**
 * Writes every request that may change something to the audit: before it is done, so that nothing
 * done is missing there, and again with its outcome when it has been answered. One place for all
 * routes, those of the future too.
 */
export function auditEveryChange(server: FastifyInstance, { host }: Daemon): void {
  const acts = new WeakMap<FastifyRequest, Act>();
  // Before a body is judged: what is refused for its form was tried as well.
  server.addHook('preValidation', async (request) => {
    if (!isChange(request)) return;
    const at = Date.now();
    const seq = host.audit.begin({
      app: appOf(request.params) ?? '',
      verb: verbOf(request),
      details: detailsOf(request),
      claimed: claimOf(request),
    });
    const verified = verifyPeer(request.raw.socket, at);
    acts.set(request, { seq, verified, answer: null });
  });

  server.addHook('preSerialization', async (request, reply, payload: unknown) => {
    const act = acts.get(request);
    if (act !== undefined) act.answer = payload;
    // Nobody is there to read the answer, so none is ever finished.
    if (request.raw.socket.destroyed) await end(request, ({ answer }) => outcomeOf(reply, answer));
    return payload;
  });

  const end = async (request: FastifyRequest, outcome: (act: Act) => string): Promise<void> => {
    const act = acts.get(request);
    if (act === undefined) return;
    acts.delete(request);
    try {
      const verified = await act.verified;
      const app = appOf(act.answer);
      host.audit.end(act.seq, {
        app,
        verified,
        deployment: numberIn(act.answer, 'deployment'),
        outcome: outcome(act),
      });
    } catch (error) {
      host.log.error({ err: error, url: request.url }, 'audit cannot be written');
    }
  };

  server.addHook('onResponse', (request, reply) =>
    end(request, ({ answer }) => outcomeOf(reply, answer)),
  );
}

const peers = new WeakMap<Socket, Promise<number | null>>();

/**
 * Who is at the other end of a connection, as far as the agent can find out. Never rejects.
 * @param at when the act began, ms since the epoch
 */
export async function verifyPeer(socket: Socket, at: number): Promise<Verified | null> {
  const asked = peers.get(socket) ?? peerUid(socket);
  peers.set(socket, asked);
  try {
    const uid = await asked;
    return uid === null ? null : await identify(uid, at);
  } catch {
    return null;
  }
}

function isChange({ method, routeOptions }: FastifyRequest): boolean {
  return method !== 'GET' && method !== 'HEAD' && routeOptions.config.audit !== false;
}

/** `rollback` of `/v1/apps/:app/rollback`. */
function verbOf({ method, routeOptions: { url = '' } }: FastifyRequest): string {
  const word = url.split('/').findLast((part) => part !== '' && !part.startsWith(':')) ?? url;
  return method === 'DELETE' ? `delete ${word}` : word;
}

function claimOf({ headers, body }: FastifyRequest): Claimed {
  const header = (name: string): string | null => {
    const value = headers[name];
    return typeof value === 'string' && value !== '' ? value.slice(0, MAX_DETAIL) : null;
  };
  return { owner: header(OWNER_HEADER) ?? textIn(body, 'owner'), cli: header(CLI_HEADER) };
}

function detailsOf({ body }: FastifyRequest): Record<string, string> {
  if (typeof body !== 'object' || body === null) return {};
  const kept = Object.entries(body).filter(
    ([name, value]) => KEPT_FIELDS.has(name) && value !== undefined && value !== '',
  );
  return Object.fromEntries(
    kept.map(([name, value]) => {
      const text = typeof value === 'string' ? value : JSON.stringify(value);
      return [name, text.slice(0, name === 'artifact' ? 12 : MAX_DETAIL)];
    }),
  );
}

function outcomeOf({ statusCode }: FastifyReply, answer: unknown): string {
  const refusal = fieldOf(answer, 'error');
  return (
    textIn(refusal, 'code') ?? textIn(answer, 'result') ?? (statusCode < 400 ? 'done' : 'failed')
  );
}

function appOf(value: unknown): string | undefined {
  return textIn(value, 'app') ?? undefined;
}

function textIn(value: unknown, name: string): string | null {
  const field = fieldOf(value, name);
  return typeof field === 'string' ? field : null;
}

function numberIn(value: unknown, name: string): number | null {
  const field = fieldOf(value, name);
  return typeof field === 'number' && field > 0 ? field : null;
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null
    ? new Map<string, unknown>(Object.entries(value)).get(name)
    : undefined;
}
