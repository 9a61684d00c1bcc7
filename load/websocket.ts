import { WebSocket } from 'ws';
import { judgeError, judgeHead, now, type Outcome, type RequestRecord } from './outcome.ts';
import type { Target } from './request.ts';

/** One message did not have the number after that of the one before. */
export interface Gap {
  readonly at: number;
  readonly release: string;
  readonly expected: number;
  readonly got: number;
}

/** How a WebSocket ended. Times are ms since the epoch. */
export interface WebSocketClose {
  /** When its handshake began: HAProxy has chosen between then and `openedAt` who holds it. */
  readonly startedAt: number;
  readonly openedAt: number;
  readonly closedAt: number;
  /** The release that held it. */
  readonly release: string;
  /** 1006 when the connection went without a word. */
  readonly code: number;
  readonly reason: string;
  readonly messages: number;
  /** This client ended it, because the load was told to stop. */
  readonly byClient: boolean;
}

/** How long the server may take to answer a close frame of this client. */
const CLOSE_MS = 1_000;

/** Listens to one WebSocket. */
export interface WebSocketListener {
  /** The handshake is over, well or badly; it is a request like any other. */
  readonly shaken: (record: RequestRecord) => void;
  readonly gap: (gap: Gap) => void;
  /** After a good handshake only. `longestSilenceMs`: the longest wait for a message. */
  readonly closed: (close: WebSocketClose, longestSilenceMs: number) => void;
  /** Comes last, whether the handshake went well or not. */
  readonly over: () => void;
}

/** A WebSocket that counts the messages of its server. */
export interface CountingWebSocket {
  /** Messages that came so far. */
  readonly messages: number;
  /** The longest wait for a message so far, the present one included, ms. */
  silenceMs(): number;
  readonly isOpen: boolean;
  /**
   * Ends it: a handshake under way may take `ms` more before it counts as timed out, then a close
   * frame is sent, and the connection is cut when the server does not answer that.
   */
  end(ms: number): void;
}

/** Opens a WebSocket at `/ws` of the example app. It is never opened again by itself. */
export function openWebSocket(
  target: Target,
  intervalMs: number,
  deadlineMs: number,
  listener: WebSocketListener,
): CountingWebSocket {
  const start = now();
  const socket = new WebSocket(`ws://${target.url.host}/ws?interval=${intervalMs}`, {
    perMessageDeflate: false,
    ...(target.hostHeader === undefined ? {} : { headers: { host: target.hostHeader } }),
  });
  let release = '';
  let openedAt: number | undefined;
  let shaken = false;
  let ending = false;
  let messages = 0;
  let lastNumber = 0;
  let lastAt = start;
  let longestSilenceMs = 0;

  const shake = (outcome: Outcome, status: number, detail: string): void => {
    if (shaken) return;
    shaken = true;
    clearTimeout(deadline);
    const end = now();
    listener.shaken({
      kind: 'websocket',
      start,
      firstByte: end,
      end,
      status,
      release,
      outcome,
      reused: false,
      detail,
    });
  };
  const giveUp = (): void => {
    shake('timeout', 0, 'no handshake');
    socket.terminate();
  };
  const deadline = setTimeout(giveUp, deadlineMs);
  const close = (): void => {
    socket.close(1000, 'the load is over');
    setTimeout(() => socket.terminate(), CLOSE_MS).unref();
  };

  socket.on('upgrade', (message) => {
    release = headerOf(message.headers['x-release']);
  });
  socket.on('unexpected-response', (_request, message) => {
    release = headerOf(message.headers['x-release']);
    const status = message.statusCode ?? 0;
    const judged = judgeHead(status, release);
    shake(judged === 'ok' ? 'wrong' : judged, status, `answered ${status}`);
    socket.terminate();
  });
  socket.on('error', (error) => shake(judgeError(error, false), 0, error.message));
  socket.on('open', () => {
    openedAt = now();
    lastAt = openedAt;
    shake('ok', 101, '');
    if (ending) close();
  });
  socket.on('message', (data) => {
    const got = numberOf(String(data));
    if (got === undefined) return;
    const at = now();
    longestSilenceMs = Math.max(longestSilenceMs, at - lastAt);
    lastAt = at;
    messages += 1;
    const expected = lastNumber + 1;
    lastNumber = got;
    if (got !== expected) listener.gap({ at, release, expected, got });
  });
  socket.on('close', (code, reason) => {
    shake('reset', 0, `closed with ${code} before it was open`);
    if (openedAt !== undefined) {
      const closedAt = now();
      const how = {
        startedAt: start,
        openedAt,
        closedAt,
        release,
        code,
        reason: reason.toString(),
        messages,
      };
      longestSilenceMs = Math.max(longestSilenceMs, closedAt - lastAt);
      listener.closed({ ...how, byClient: ending }, longestSilenceMs);
    }
    listener.over();
  });

  return {
    get messages() {
      return messages;
    },
    get isOpen() {
      return socket.readyState === WebSocket.OPEN;
    },
    silenceMs: () => Math.max(longestSilenceMs, now() - lastAt),
    end(ms) {
      switch (socket.readyState) {
        case WebSocket.CONNECTING:
          ending = true;
          setTimeout(giveUp, ms).unref();
          break;
        case WebSocket.OPEN:
          ending = true;
          close();
          break;
        default:
          // The server side was first: its close is the one that is recorded.
          socket.terminate();
      }
    },
  };
}

function headerOf(value: string | string[] | undefined): string {
  return typeof value === 'string' ? value : '';
}

/** The number of a numbered message; undefined for an echo. */
function numberOf(text: string): number | undefined {
  const message: unknown = JSON.parse(text);
  if (typeof message !== 'object' || message === null || !('n' in message)) return undefined;
  return typeof message.n === 'number' ? message.n : undefined;
}
