import { createHash } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { accountOf, login } from './accounts.js';
import { duplicates, note } from './ledger.js';
import { behaviour, instance, release } from './settings.js';

const startedAt = Date.now();
let served = 0;

/** Answers one request. */
export async function answer(request, response) {
  response.setHeader('x-release', release);
  response.setHeader('x-instance', instance);
  const url = new URL(request.url, 'http://shop');
  if (url.pathname === '/healthz') return health(response);

  const id = request.headers['x-request-id'];
  if (request.method === 'POST' && id !== undefined) note(id);
  served += 1;
  if (served > (behaviour.hangAfterRequests ?? Number.POSITIVE_INFINITY)) return;
  if (behaviour.delayMs !== undefined) await wait(behaviour.delayMs);
  if (isFailing(request.method)) {
    request.resume();
    return send(response, behaviour.status ?? 500, { error: 'out of stock, out of luck' });
  }
  const page = pages[`${request.method} ${url.pathname}`];
  if (page === undefined) return send(response, 404, { error: 'no such page' });
  return page(request, response, url.searchParams);
}

const pages = {
  'GET /': (_request, response) => {
    const text = `shop ${behaviour.version}, release ${release}, instance ${instance}\n`;
    response.setHeader('content-type', 'text/plain');
    response.setHeader('content-length', Buffer.byteLength(text));
    response.end(text);
  },

  'POST /login': async (request, response) => {
    const token = login(await json(request));
    if (token === null) return send(response, 401, { error: 'wrong name or password' });
    send(response, 200, { token });
  },

  'POST /checkout': async (request, response) => {
    const name = accountOf(request.headers.authorization);
    if (name === null) return send(response, 401, { error: 'log in first' });
    const { items = [] } = await json(request);
    send(response, 201, { order: 'stub', name, items: items.length });
  },

  'GET /admin': (request, response) => {
    const name = accountOf(request.headers.authorization);
    if (name === null) return send(response, 401, { error: 'log in first' });
    send(response, 200, { name, release });
  },

  'GET /slow': async (_request, response, query) => {
    const ms = number(query, 'ms', 1_000);
    await wait(ms);
    send(response, 200, { slept: ms });
  },

  'GET /stream': async (_request, response, query) => {
    const chunks = number(query, 'chunks', 10);
    const ms = number(query, 'ms', 50);
    response.setHeader('content-type', 'text/plain');
    for (let n = 1; n <= chunks && !response.destroyed; n += 1) {
      response.write(`chunk ${n} of ${chunks}\n`);
      await wait(ms);
    }
    response.end(`END ${chunks}\n`);
  },

  'POST /upload': async (request, response) => {
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const chunk of request) {
      bytes += chunk.length;
      hash.update(chunk);
    }
    send(response, 200, { bytes, sha256: hash.digest('hex') });
  },

  'GET /duplicates': (_request, response) => send(response, 200, duplicates()),
};

function health(response) {
  response.setHeader('x-zdd-release', release);
  const { health: mode, unhealthyAfterMs = Number.POSITIVE_INFINITY } = behaviour;
  if (mode === 'never' || Date.now() - startedAt >= unhealthyAfterMs) {
    return send(response, 503, {
      status: 'error',
      release,
      db: 'connect ECONNREFUSED 127.0.0.1:5432',
    });
  }
  return send(response, 200, { status: 'ok', release, version: behaviour.version });
}

function isFailing(method) {
  const {
    failAfterRequests = Number.POSITIVE_INFINITY,
    failMethod = method,
    share = 1,
  } = behaviour;
  return method === failMethod && served > failAfterRequests && Math.random() < share;
}

async function json(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  try {
    return JSON.parse(Buffer.concat(chunks).toString()) ?? {};
  } catch {
    return {};
  }
}

function number(query, name, otherwise) {
  const value = Number(query.get(name) ?? otherwise);
  return Number.isFinite(value) && value >= 0 ? Math.min(value, 60_000) : otherwise;
}

function send(response, status, body) {
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}
