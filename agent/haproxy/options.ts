import type { LogPlace } from './access-log/format.ts';
import type { SwitchBy } from './proxy.ts';

/** Severity of a line the proxy room writes to the daemon's log. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** Everything the proxy room needs to know about its HAProxy. */
export interface ProxyOptions {
  /**
   * `embedded`: a private HAProxy that this room starts and keeps running, as the daemon's user.
   * `system`: the distribution's HAProxy, run by systemd; this room never starts or stops it.
   */
  readonly mode: 'embedded' | 'system';
  /** The HAProxy program: a path, or a name found in PATH. Also runs the check of the file. */
  readonly binary: string;
  readonly configPath: string;
  /** The Runtime API of the current worker: `stats socket ... level admin`. */
  readonly adminSocket: string;
  /** The master's socket: `haproxy -S`. Reloads and old workers are reached through it. */
  readonly masterSocket: string;
  /** The managed region opens `adminSocket` itself, for group `haproxy`. Default false. */
  readonly adminSocketInRegion?: boolean;
  /** Where the frontend listens: `127.0.0.1:8080`. Empty: the admin's own frontends route. */
  readonly bind: () => readonly string[];
  /** How traffic moves; `auto`, the default: at runtime where HAProxy lets the agent. */
  readonly switchBy?: () => SwitchBy | 'auto';
  /** Where it takes TLS, once there is some: `*:443`. Default: nowhere. */
  readonly bindTls?: () => readonly string[];
  /** HTTP/3 there as well, where HAProxy has QUIC. Default false. */
  readonly http3?: () => boolean;
  /** Folder for the embedded HAProxy's process record and output. */
  readonly workDir: string;
  /** Have every request told to the agent; see `access-log/`. Default false. */
  readonly accessLog?: boolean;
  /** The daemon's clock, ms since the epoch: what the log says is dated by it. */
  readonly now?: () => number;
  readonly log: (
    level: LogLevel,
    message: string,
    fields: Readonly<Record<string, unknown>>,
  ) => void;
  /** Deadline of one command on a socket, ms. Default 5000. */
  readonly commandMs?: number;
  /** How long HAProxy's own check has to confirm new servers, ms. Default 10000. */
  readonly confirmMs?: number;
  /** With so many old workers still busy, a reload of ours waits for one to end. Default 8. */
  readonly maxOldWorkers?: () => number;
  /** How long it waits, ms. Default 60000. */
  readonly workersMs?: number;
  /** Deadline of one reload, ms. Default 20000. */
  readonly reloadMs?: number;
}

/** `ProxyOptions` with every default filled in. */
export interface ResolvedOptions extends Required<ProxyOptions> {
  /** Where the agent reads the access log; undefined while it does not. */
  readonly accessLogPlace: () => LogPlace | undefined;
}

/** Fills in the deadlines that were left out. */
export function resolveOptions(
  options: ProxyOptions,
  accessLogPlace: () => LogPlace | undefined,
): ResolvedOptions {
  return {
    ...options,
    bindTls: options.bindTls ?? (() => []),
    http3: options.http3 ?? (() => false),
    adminSocketInRegion: options.adminSocketInRegion ?? false,
    accessLog: options.accessLog ?? false,
    now: options.now ?? Date.now,
    switchBy: options.switchBy ?? (() => 'auto'),
    accessLogPlace,
    commandMs: options.commandMs ?? 5_000,
    confirmMs: options.confirmMs ?? 10_000,
    maxOldWorkers: options.maxOldWorkers ?? (() => 8),
    workersMs: options.workersMs ?? 60_000,
    reloadMs: options.reloadMs ?? 20_000,
  };
}
