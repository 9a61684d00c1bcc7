/** A live request that HAProxy has copied, and how it was answered. */
export interface MirroredRequest {
  readonly method: string;
  /** As the app sees it, with its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | null;
  /** What the client was answered, by the app or by HAProxy itself. */
  readonly status: number;
  /** From HAProxy's having the head of the request to its having that of the answer, ms. */
  readonly waitMs: number;
}

/** Whose requests are copied, and where to. */
export interface MirrorOptions {
  readonly app: string;
  /** Of requests that may be copied, 0 to 1. */
  readonly share: number;
  /** Told of each copy, or that one was not whole. */
  readonly seen: (copy: MirroredRequest | 'unfit') => void;
}

/** The last field of a copy: one without it was cut. */
export const COPY_END = '.';
/** Bodies are copied up to this length: with the rest they have to fit into HAProxy's 16 KiB. */
export const MAX_BODY_BYTES = 8 * 1024;

/**
 * Reads a line of the ring. Fields are apart by `|`, and all that a client chooses is in base64.
 * @returns undefined for what is no copy of this app's, `unfit` for one that is not whole
 */
export function readCopy(app: string, line: string): MirroredRequest | 'unfit' | undefined {
  // HAProxy's `debug`: [debug] <app>: type=str <fields>
  const head = `[debug] ${app}: type=`;
  if (!line.startsWith(head)) return undefined;
  const fields = line.slice(line.indexOf('<') + 1).split('|');
  if (fields.at(-1) !== `${COPY_END}>`) return 'unfit';
  const [status, waited, method = '', path64 = '', length64 = '', body64 = '', ...rest] = fields;
  const path = text(path64);
  if (!path.startsWith('/')) return 'unfit';
  const headers: Record<string, string> = {};
  for (const field of rest.slice(0, -1)) {
    const at = field.indexOf('=');
    const value = text(field.slice(at + 1));
    if (value !== '') headers[field.slice(0, at)] = value;
  }
  const reads = method === 'GET' || method === 'HEAD';
  const body = reads ? null : Buffer.from(body64, 'base64');
  // Without a length it came in chunks, and nobody knows whether this is all of it.
  if (body !== null && String(body.length) !== text(length64)) return 'unfit';
  return { method, path, headers, body, status: Number(status), waitMs: Number(waited) };
}

function text(base64: string): string {
  return Buffer.from(base64, 'base64').toString('latin1');
}
