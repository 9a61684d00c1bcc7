import { LONG_ANSWER_NICE } from './config/backend.ts';

/**
 * What a stream is. `tunnel`: a WebSocket or a CONNECT, over HTTP/1 or HTTP/2. `stream`: an answer
 * that is open by nature: SSE, gRPC. `request`: everything else.
 */
export type StreamKind = 'tunnel' | 'stream' | 'request';

/** A stream of `show sess all` that has a server. */
export interface Stream {
  /** What `shutdown session` takes: `0x55e9469fae30`. May be reused once the stream has ended. */
  readonly pointer: string;
  /** Never reused in a worker's life. */
  readonly id: string;
  readonly backend: string;
  readonly server: string;
  readonly kind: StreamKind;
  /** Tells client connections apart: one of HTTP/2 carries many streams. */
  readonly client: string;
}

/**
 * Reads `show sess all`, or `show sess POINTER`. By hand, one pass: 5,000 streams are 7.6 MB of
 * text. Streams without a server (the command's own, an idle client) are left out.
 */
export function parseStreams(text: string): readonly Stream[] {
  const streams: Stream[] = [];
  let from = text.startsWith('0x') ? 0 : after(text, '\n0x', 0) - 2;
  while (from >= 0) {
    const next = text.indexOf('\n0x', from);
    const stream = parseStream(text.slice(from, next < 0 ? undefined : next));
    if (stream !== undefined) streams.push(stream);
    from = next < 0 ? -1 : next + 1;
  }
  return streams;
}

function parseStream(block: string): Stream | undefined {
  const pointer = word(block, 0);
  const id = field(block, ' id=');
  const backend = field(block, '\n  backend=');
  const server = field(block, '\n  server=');
  if (!pointer.endsWith(':') || id === undefined) return undefined;
  if (backend === undefined || server === undefined || server === '<NONE>') return undefined;
  return {
    pointer: pointer.slice(0, -1),
    id,
    backend,
    server,
    kind: kindOf(block),
    client: field(block, '\n      co0=') ?? pointer,
  };
}

function kindOf(block: string): StreamKind {
  // An answer that ends with its connection (HTTP/1.0) is a tunnel on its own side only.
  const states = [field(block, ' req.st='), field(block, ' rsp.st=')];
  if (states.every((state) => state === 'MSG_TUNNEL')) return 'tunnel';
  return field(block, ' nice=') === String(LONG_ANSWER_NICE) ? 'stream' : 'request';
}

function field(block: string, label: string): string | undefined {
  const at = after(block, label, 0);
  return at < 0 ? undefined : word(block, at);
}

function word(block: string, from: number): string {
  let to = from;
  while (to < block.length && block.charCodeAt(to) > 32) to += 1;
  return block.slice(from, to);
}

/** Where the text after `label` begins; -1 when it is not there. */
function after(text: string, label: string, from: number): number {
  const at = text.indexOf(label, from);
  return at < 0 ? -1 : at + label.length;
}
