/**
 * What a request leaves behind for the agent. HAProxy has one `log-format` a frontend, and that is
 * the admin's; the structured data of RFC 5424 is a second one that only our log target shows, so
 * nobody's own log changes. What follows it on the line would be the admin's format, with path and
 * client: whoever takes the agent's port while it is away could read them, so they must be cut off.
 */

/** Where HAProxy tells the agent of requests. */
export interface LogPlace {
  /** On the loopback. */
  readonly port: number;
  /** The data's name: lines of another agent's HAProxy that finds its way here are not ours. */
  readonly name: string;
}

/** Longest line: the header, the data, and names as long as HAProxy takes ours. */
export const MAX_LINE_BYTES = 300;

/** Fills every line up to where it is cut, however short its header (60 bytes at least) and names. */
const FILLER = 'x'.repeat(MAX_LINE_BYTES - 60);

/**
 * Backend, server, status, the three times that make up the wait for the answer's first byte, how
 * the stream ended, when (ms since the epoch), and the method. What a client chooses comes last.
 */
export function structuredData(name: string): string {
  return `[${name} %b %s %ST %Tw %Tc %Tr %ts %[date(0,ms)] %HM][${FILLER}]`;
}

/** What was read of one line. */
export interface LogLine {
  readonly backend: string;
  /** `<NOSRV>` when none was chosen. */
  readonly server: string;
  /** -1 when there was no answer. */
  readonly status: number;
  /** Tw + Tc + Tr: from HAProxy's having the whole request to the first byte of the answer, ms. */
  readonly waitMs: number;
  /** How the stream ended: two letters of HAProxy's, `--` when nothing happened. */
  readonly end: string;
  /** ms since the epoch, by the host's clock. */
  readonly at: number;
  readonly method: string;
}

/** Where the data of a line begins, behind its name; -1 when the line is none of ours. */
export function findData(name: string, text: string, from: number, end: number): number {
  const at = text.indexOf(` [${name} `, from);
  return at < 0 || at >= end ? -1 : at + name.length + 3;
}

/** Whether the data of a line begins here: lines of one worker have it at the same place. */
export function isData(name: string, text: string, at: number): boolean {
  return text.startsWith(` [${name} `, at - name.length - 3);
}

/** The worker that wrote a line: its PROCID. Null when the header is not HAProxy's. */
export function workerOf(text: string, from: number, data: number): number | null {
  // <PRI>1 TIMESTAMP HOST APP PROCID MSGID [NAME ...]
  const pid = Number(text.slice(from, data).split(' ')[4]);
  return Number.isInteger(pid) && pid > 0 ? pid : null;
}

/** Reads the data of one line. Null when it is cut off, or no data of ours. */
export function readData(text: string, data: number, end: number): LogLine | null {
  const close = text.indexOf(']', data);
  if (close < 0 || close >= end) return null;
  const fields = text.slice(data, close).split(' ');
  if (fields.length !== 9) return null;
  const [backend = '', server = '', status, tw, tc, tr, ending = '', at, method = ''] = fields;
  const time = Number(at);
  if (!Number.isFinite(time)) return null;
  const part = (value: string | undefined): number => Math.max(0, Number(value) || 0);
  return {
    backend,
    server,
    status: Number(status),
    waitMs: part(tw) + part(tc) + part(tr),
    end: ending,
    at: time,
    method,
  };
}
