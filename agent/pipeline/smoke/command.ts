import { connect, createServer, type Server, type Socket } from 'node:net';
import { formatDuration } from '../../protocol/duration.ts';
import { ZddError } from '../../protocol/errors.ts';
import type { SmokeCommand } from '../../protocol/smoke.ts';
import type { OnceSpec } from '../../runner/runner.ts';
import type { Host } from '../host.ts';
import type { Question } from '../http-question.ts';

const LINES_SHOWN = 20;
/** How much of them, so that a receipt stays readable. */
const CHARACTERS_SHOWN = 4_000;

/**
 * Runs a command against a release, as the app's user and in its sandbox, as the release command is.
 * @param base all of what is run but the command and what it is to ask
 * @returns what is wrong, its last output included; null when it ended with 0
 */
export async function runCheck(
  host: Host,
  check: SmokeCommand,
  listen: Question['listen'],
  base: Omit<OnceSpec, 'command' | 'timeoutMs'>,
  signal: AbortSignal,
): Promise<string | null> {
  const way = await wayTo(listen, signal);
  try {
    const result = await host.runner.runOnce(
      {
        ...base,
        command: check.run,
        timeoutMs: check.within,
        env: {
          ...base.env,
          ZDD_SMOKE_URL: way.url,
          ...(listen.kind === 'unix' ? { ZDD_SMOKE_SOCKET: listen.path } : {}),
        },
      },
      signal,
    );
    signal.throwIfAborted();
    if (result.exit.code === 0 && !result.timedOut) return null;
    const how = result.timedOut
      ? `ran longer than ${formatDuration(check.within)}`
      : result.exit.code === null
        ? `was ended by ${result.exit.signal ?? 'a signal'}`
        : `exited with ${result.exit.code}`;
    const said = result.output.slice(-LINES_SHOWN).join('\n').slice(-CHARACTERS_SHOWN);
    return said === '' ? how : `${how}\n${said}`;
  } catch (error) {
    if (signal.aborted || !(error instanceof ZddError)) throw error;
    return error.message;
  } finally {
    way.close();
  }
}

interface Way {
  readonly url: string;
  close(): void;
}

/** A URL for tools that speak no Unix sockets: for them a port of the loopback leads to the socket. */
async function wayTo(listen: Question['listen'], signal: AbortSignal): Promise<Way> {
  switch (listen.kind) {
    case 'none':
      throw new Error('an instance that does not listen cannot be asked');
    case 'tcp':
      return { url: `http://127.0.0.1:${listen.port}`, close: () => undefined };
    case 'address': {
      const host = listen.host.includes(':') ? `[${listen.host}]` : listen.host;
      return { url: `http://${host}:${listen.port}`, close: () => undefined };
    }
    case 'unix':
      return await relayTo(listen.path, signal);
  }
}

async function relayTo(path: string, signal: AbortSignal): Promise<Way> {
  const open = new Set<Socket>();
  const server = createServer((client) => {
    const instance = connect(path);
    for (const [from, to] of [
      [client, instance],
      [instance, client],
    ] as const) {
      open.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => open.delete(from));
      from.pipe(to);
    }
  });
  const port = await listenAnywhere(server, signal);
  return {
    url: `http://127.0.0.1:${port}`,
    close() {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}

async function listenAnywhere(server: Server, signal: AbortSignal): Promise<number> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(0, '127.0.0.1', resolve);
  await promise;
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
