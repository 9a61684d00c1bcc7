import { type Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import {
  judgeError,
  judgeHead,
  type Kind,
  now,
  type Outcome,
  type RequestRecord,
} from './outcome.ts';

/** Where the load goes. */
export interface Target {
  /** `http://127.0.0.1:8080` */
  readonly url: URL;
  /** The `host` header, when it shall differ from the URL's. */
  readonly hostHeader?: string;
}

/** One request to send. */
export interface RequestPlan {
  readonly kind: Kind;
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** Keeps the connection for the next request; false opens one for this request alone. */
  readonly agent: Agent | false;
  readonly deadlineMs: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
  /** Whether the whole body of a good answer is what was asked for; `cut` when its end is missing. */
  readonly check: (body: string) => 'ok' | 'cut' | 'wrong';
}

export interface SentRequest {
  /** Settles once, never rejects: every way to fail is a record. */
  readonly done: Promise<RequestRecord>;
  /** Gives up waiting: the request is recorded as `timeout`. */
  giveUp(): void;
}

/** Sends one request exactly once and records what becomes of it. Nothing is ever tried again. */
export function sendRequest(target: Target, plan: RequestPlan): SentRequest {
  const start = now();
  const { promise: done, resolve } = Promise.withResolvers<RequestRecord>();
  let head: { readonly message: IncomingMessage; readonly at: number } | undefined;
  let settled = false;

  const sent = httpRequest({
    host: target.url.hostname,
    port: target.url.port === '' ? 80 : target.url.port,
    method: plan.method,
    path: plan.path,
    agent: plan.agent,
    headers: {
      ...(target.hostHeader === undefined ? {} : { host: target.hostHeader }),
      ...(plan.body === undefined ? {} : { 'content-length': String(plan.body.length) }),
      ...plan.headers,
    },
  });

  const settle = (outcome: Outcome, detail: string): void => {
    if (settled) return;
    settled = true;
    clearTimeout(deadline);
    const end = now();
    resolve({
      kind: plan.kind,
      start,
      firstByte: head?.at ?? end,
      end,
      status: head?.message.statusCode ?? 0,
      release: head === undefined ? '' : releaseOf(head.message),
      outcome,
      reused: sent.reusedSocket,
      detail,
    });
  };
  const giveUp = (): void => {
    settle('timeout', head === undefined ? 'no answer' : 'the answer did not end');
    sent.destroy();
  };
  const deadline = setTimeout(giveUp, plan.deadlineMs);

  sent.on('error', (error) => settle(judgeError(error, head !== undefined), describe(error)));
  sent.on('close', () => settle(head === undefined ? 'reset' : 'cut', 'the connection closed'));
  sent.on('response', (message) => {
    head = { message, at: now() };
    const chunks: Buffer[] = [];
    message.on('data', (chunk: Buffer) => chunks.push(chunk));
    message.on('error', (error) => settle('cut', describe(error)));
    message.on('end', () => {
      const body = Buffer.concat(chunks).toString();
      const judged = judgeHead(message.statusCode ?? 0, releaseOf(message));
      const outcome = judged === 'ok' ? plan.check(body) : judged;
      settle(outcome, outcome === 'ok' ? '' : body.slice(0, 200));
    });
  });
  sent.end(plan.body);
  return { done, giveUp };
}

function releaseOf(message: IncomingMessage): string {
  const release = message.headers['x-release'];
  return typeof release === 'string' ? release : '';
}

function describe(error: Error): string {
  return 'code' in error ? `${String(error.code)}: ${error.message}` : error.message;
}
