import { connect, type Socket } from 'node:net';
import { ZddError } from '../protocol/errors.ts';
import { commandError } from './refusal.ts';

/** A command socket of HAProxy: of a worker (`admin`) or of the master. */
export interface Endpoint {
  readonly kind: 'admin' | 'master';
  readonly path: string;
  /** Deadline of connecting and of each answer, ms. */
  readonly commandMs: number;
}

/** One open connection: every command of it is answered by the same worker. */
export interface Conversation {
  /**
   * Sends one command and returns its answer without the blank line at its end; `''` is silence.
   * @throws ZDD_HAPROXY_TIMEOUT, ZDD_HAPROXY_DOWN (closed in the middle of the answer)
   */
  ask(command: string): Promise<string>;
  /**
   * Sends a command that changes something. Silence and the known success texts are success.
   * @throws ZDD_HAPROXY_COMMAND with HAProxy's own words, and what `ask` throws
   */
  order(command: string): Promise<void>;
}

/**
 * HAProxy drops a longer command without an answer: `tune.bufsize`, 16384 in every default build
 * (management guide, "Unix Socket commands"; measured on 2.6.12).
 */
const MAX_COMMAND_BYTES = 16_000;

/** How an answer ends. A master whose last reload failed says so in its prompt (2.6.12). */
const PROMPT = { admin: /(?:^|\n)> $/, master: /(?:^|\n)master(?:\[\w+\])?> $/ } as const;
/** More than the longest prompt. */
const TAIL_BYTES = 64;

/**
 * Opens a connection in prompt mode, lets `talk` use it, closes it. Prompt mode, because only the
 * prompt tells a whole answer from one that was cut: without it HAProxy just closes. A connection
 * is never kept: after a reload it would go on talking to the old worker (measured on 2.6).
 * @throws ZDD_HAPROXY_DOWN, ZDD_HAPROXY_TIMEOUT and whatever `talk` throws
 */
export async function converse<T>(
  endpoint: Endpoint,
  signal: AbortSignal,
  talk: (conversation: Conversation) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const line = new Line(endpoint, signal);
  try {
    await line.exchange('prompt', 'connecting');
    const ask = (command: string): Promise<string> => {
      if (Buffer.byteLength(command) > MAX_COMMAND_BYTES) {
        throw new ZddError('ZDD_HAPROXY_COMMAND', 'The command is longer than HAProxy reads.', {
          evidence: [['command', `${firstLine(command).slice(0, 200)}...`]],
        });
      }
      return line.exchange(command, firstLine(command));
    };
    return await talk(conversationOf(ask));
  } finally {
    line.close();
  }
}

/** A conversation over whatever takes commands and gives answers. */
export function conversationOf(ask: Conversation['ask']): Conversation {
  return {
    ask,
    order: async (command) => {
      const answer = await ask(command);
      if (answer !== '' && !SUCCESS.has(answer)) throw commandError(command, answer);
    },
  };
}

/** What follows it may be a key. */
function firstLine(command: string): string {
  return command.split('\n', 1)[0] ?? '';
}

/** Whether an error says that nobody listens at a socket's path, or that it is not there. */
export function isSocketGone(error: unknown): boolean {
  if (!(error instanceof ZddError) || error.code !== 'ZDD_HAPROXY_DOWN') return false;
  const { cause } = error;
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  return code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'EACCES';
}

const SUCCESS: ReadonlySet<string> = new Set(['New server registered.', 'Server deleted.']);

/** A socket on which one command at a time waits for its prompt. */
class Line {
  readonly #endpoint: Endpoint;
  readonly #socket: Socket;
  readonly #signal: AbortSignal;
  readonly #onAbort = (): void => this.#fail(this.#signal.reason);
  #received: Buffer[] = [];
  #failure: unknown;
  #waiting: { resolve: (text: string) => void; reject: (error: unknown) => void } | undefined;
  #what = 'connecting';

  constructor(endpoint: Endpoint, signal: AbortSignal) {
    this.#endpoint = endpoint;
    this.#signal = signal;
    this.#socket = connect(endpoint.path);
    this.#socket.on('data', (chunk: Buffer) => this.#take(chunk));
    this.#socket.on('error', (error: NodeJS.ErrnoException) =>
      this.#fail(socketError(endpoint, this.#what, error)),
    );
    this.#socket.on('close', () => this.#fail(cutError(endpoint, this.#what, this.#text())));
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  exchange(command: string, what: string): Promise<string> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    this.#what = what;
    this.#received = [];
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const deadline = setTimeout(
      () => this.#fail(timeoutError(this.#endpoint, what)),
      this.#endpoint.commandMs,
    );
    this.#waiting = { resolve, reject };
    this.#socket.write(`${command}\n`);
    return promise.finally(() => clearTimeout(deadline));
  }

  close(): void {
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#failure ??= new Error('closed');
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    this.#received.push(chunk);
    // Only the tail is looked at per chunk, or an answer of many megabytes would cost its square.
    const last = chunk.length > TAIL_BYTES ? chunk : Buffer.concat(this.#received);
    const whole = last.length <= TAIL_BYTES;
    const tail = last.subarray(-TAIL_BYTES).toString('latin1');
    const prompt = PROMPT[this.#endpoint.kind];
    // The `?` stands for what was cut off, so that `^` means the beginning of the answer.
    const at = prompt.exec(whole ? tail : `?${tail}`);
    if (at === null) return;
    const text = this.#text().slice(0, -at[0].length);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this.#received = [];
    waiting?.resolve(text.replace(/\n+$/, ''));
  }

  #text(): string {
    return Buffer.concat(this.#received).toString('utf8');
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#socket.destroy();
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(this.#failure);
  }
}

function socketError(endpoint: Endpoint, what: string, error: NodeJS.ErrnoException): ZddError {
  // EAGAIN: the accept queue of the socket is full, all of `stats maxconn` are taken.
  if (error.code === 'EAGAIN') return timeoutError(endpoint, what, error);
  return new ZddError(
    'ZDD_HAPROXY_DOWN',
    error.code === 'EACCES'
      ? `The agent may not use HAProxy's ${endpoint.kind} socket.`
      : `HAProxy does not answer on its ${endpoint.kind} socket.`,
    {
      evidence: [
        ['socket', endpoint.path],
        ['while', what],
        ['error', error.code ?? error.message],
      ],
      tries:
        error.code === 'EACCES'
          ? [`ls -l ${endpoint.path}`]
          : [
              'systemctl status haproxy',
              // A reload makes the master's socket again, only a restart that of the workers.
              ...(error.code === 'ENOENT' && endpoint.kind === 'master'
                ? ['sudo systemctl reload haproxy']
                : []),
              `ls -l ${endpoint.path}`,
            ],
      cause: error,
    },
  );
}

function cutError(endpoint: Endpoint, what: string, received: string): ZddError {
  return new ZddError(
    'ZDD_HAPROXY_DOWN',
    `HAProxy closed its ${endpoint.kind} socket in the middle of an answer.`,
    {
      evidence: [
        ['socket', endpoint.path],
        ['while', what],
        ['received', received.slice(-500)],
      ],
      tries: ['systemctl status haproxy'],
    },
  );
}

function timeoutError(endpoint: Endpoint, what: string, cause?: unknown): ZddError {
  return new ZddError(
    'ZDD_HAPROXY_TIMEOUT',
    `HAProxy did not answer on its ${endpoint.kind} socket within ${endpoint.commandMs} ms.`,
    {
      evidence: [
        ['socket', endpoint.path],
        ['while', what],
      ],
      tries: [`echo 'show info' | socat stdio ${endpoint.path}`],
      ...(cause === undefined ? {} : { cause }),
    },
  );
}
