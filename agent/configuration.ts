import { readFileSync } from 'node:fs';
import { LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { ZddError } from './protocol/errors.ts';

const MiB = 1024 * 1024;

/** `127.0.0.1:9096` */
const listen = z
  .string()
  .regex(
    /^(\d{1,3}(\.\d{1,3}){3}|\[[0-9a-fA-F:]+\]|localhost):\d{1,5}$/,
    // What is no address is not read on.
    { error: 'expected an address and a port, such as "127.0.0.1:9187"', abort: true },
  )
  .transform((text) => {
    const at = text.lastIndexOf(':');
    const host = text.slice(0, at).replace(/^\[(.*)\]$/, '$1');
    return { host, port: Number(text.slice(at + 1)) };
  });

const schema = z.strictObject({
  /** Releases, journal, kept output. */
  state_dir: z.string().default('/var/lib/zdd-agent'),
  /** Sockets: gone after a reboot. */
  run_dir: z.string().default('/run/zdd-agent'),
  /** Folders of the instances' sockets, one an app; default `<run_dir>`. */
  sockets_dir: z.string().optional(),
  /** The control socket; default `<run_dir>/agent.sock`. */
  socket: z.string().optional(),
  /** `systemd`: instances are template units. `process`: detached processes of the agent's user. */
  runner: z.enum(['process', 'systemd']).default('process'),
  /** TCP ports for `listen: port`. */
  ports: z
    .strictObject({ from: z.int().min(1024).max(65535), to: z.int().min(1024).max(65535) })
    .refine(({ from, to }) => from <= to, 'expected from ≤ to')
    .default({ from: 20_000, to: 29_999 }),
  /** PATH of the instances. */
  path: z.string().default(process.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin'),
  log_level: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
  haproxy: z
    .strictObject({
      /** `embedded`: the agent runs a private HAProxy. `system`: the distribution's service. */
      mode: z.enum(['embedded', 'system']).default('system'),
      binary: z.string().default('haproxy'),
      config: z.string().optional(),
      admin_socket: z.string().optional(),
      master_socket: z.string().optional(),
      /**
       * The managed region opens `admin_socket` itself, for group `haproxy`: for a HAProxy whose own
       * `stats socket` the agent may not use.
       */
      admin_socket_in_region: z.boolean().default(false),
      /**
       * Addresses of the frontend in the managed region; none where an admin's own frontend routes
       * to the backends.
       */
      bind: z.array(z.string()).default(['*:80']),
      /**
       * How traffic moves. `auto`: by the Runtime API where HAProxy lets the agent, else by graceful
       * reloads.
       */
      switch: z.enum(['auto', 'runtime', 'reload']).default('auto'),
      /** Addresses for TLS, opened with the first certificate; none where the agent is to take no TLS. */
      bind_tls: z.array(z.string()).default(['*:443']),
      /** HTTP/3 there as well, where HAProxy has QUIC. */
      http3: z.boolean().default(false),
      /** Old workers that may still hold connections from before a reload. */
      max_old_workers: z.int().min(1).max(64).default(8),
    })
    .prefault({}),
  /** Files of the host with certificates that HAProxy is to show; read again when they change. */
  certificates: z
    .array(
      z.strictObject({
        cert: z.string().startsWith('/'),
        key: z.string().startsWith('/').optional(),
      }),
    )
    .default([]),
  /** Who issues certificates for apps that ask for it. */
  acme: z
    .strictObject({
      directory: z.url().default('https://acme-v02.api.letsencrypt.org/directory'),
      /** Whom the ACME server may write to. */
      email: z.email().optional(),
    })
    .prefault({}),
  /** A listener for Alertmanager's webhook; none unless it is there. */
  alerts: z
    .strictObject({
      listen,
      /** A file with the token that Alertmanager sends: `Authorization: Bearer TOKEN`. */
      token_file: z.string(),
    })
    .optional(),
  /** A listener for Prometheus: `GET /metrics`; none unless it is there. */
  metrics: z
    .strictObject({
      listen,
      /** A file with the token that Prometheus sends: `Authorization: Bearer TOKEN`. */
      token_file: z.string().optional(),
    })
    .refine(
      (metrics) => metrics.token_file !== undefined || isLoopback(metrics.listen.host),
      'whoever reaches an address beside the loopback can read it: it needs a token_file',
    )
    .optional(),
  limits: z
    .strictObject({
      artifact_bytes: z
        .int()
        .min(1)
        .default(1024 * MiB),
      unpacked_bytes: z
        .int()
        .min(1)
        .default(4096 * MiB),
      entries: z.int().min(1).default(200_000),
      /** Free bytes that an upload or a release must leave on the disk. */
      reserve_bytes: z
        .int()
        .min(0)
        .default(256 * MiB),
    })
    .prefault({}),
});

/** The daemon's configuration, defaults and derived paths filled in. */
export interface Configuration {
  readonly stateDir: string;
  readonly runDir: string;
  readonly socketsDir: string;
  readonly socket: string;
  readonly runner: 'process' | 'systemd';
  readonly ports: { readonly from: number; readonly to: number };
  readonly path: string;
  readonly logLevel: string;
  readonly haproxy: {
    readonly mode: 'embedded' | 'system';
    readonly binary: string;
    readonly config: string;
    readonly adminSocket: string;
    readonly masterSocket: string;
    readonly adminSocketInRegion: boolean;
    readonly bind: readonly string[];
    readonly switchBy: 'auto' | 'runtime' | 'reload';
    readonly bindTls: readonly string[];
    readonly http3: boolean;
    readonly maxOldWorkers: number;
  };
  /** Without `key` it stands in `cert`. */
  readonly certificates: ReadonlyArray<{
    readonly cert: string;
    readonly key?: string | undefined;
  }>;
  readonly acme: { readonly directory: string; readonly email?: string | undefined };
  readonly alerts: {
    readonly host: string;
    readonly port: number;
    readonly tokenFile: string;
  } | null;
  readonly metrics: {
    readonly host: string;
    readonly port: number;
    readonly tokenFile: string | null;
  } | null;
  readonly limits: {
    readonly artifactBytes: number;
    readonly unpackedBytes: number;
    readonly entries: number;
    readonly reserveBytes: number;
  };
}

/**
 * Reads `agent.yaml`; a missing file means all defaults.
 * @throws ZDD_AGENT_CONFIG_INVALID with every problem, each with its line.
 */
export function readConfiguration(file: string): Configuration {
  const lines = new LineCounter();
  const document = parseDocument(readIfThere(file), { lineCounter: lines });
  const problems = document.errors.map(({ message, pos }) => at(file, lines, pos[0], message));
  if (problems.length > 0) throw invalid(file, problems);
  const parsed = schema.safeParse(document.toJS() ?? {});
  if (!parsed.success) {
    throw invalid(
      file,
      parsed.error.issues.map((issue) => {
        const node = document.getIn(issue.path.map(String), true);
        const offset = hasRange(node) ? node.range[0] : 0;
        return at(file, lines, offset, `${issue.path.join('.')}: ${issue.message}`);
      }),
    );
  }
  return derive(parsed.data);
}

function derive(data: z.output<typeof schema>): Configuration {
  const { haproxy, limits } = data;
  const embedded = haproxy.mode === 'embedded';
  const inState = (name: string): string => `${data.state_dir}/haproxy/${name}`;
  return {
    stateDir: data.state_dir,
    runDir: data.run_dir,
    socketsDir: data.sockets_dir ?? data.run_dir,
    socket: data.socket ?? `${data.run_dir}/agent.sock`,
    runner: data.runner,
    ports: data.ports,
    path: data.path,
    logLevel: data.log_level,
    haproxy: {
      mode: haproxy.mode,
      binary: haproxy.binary,
      config: haproxy.config ?? (embedded ? inState('haproxy.cfg') : '/etc/haproxy/haproxy.cfg'),
      adminSocket:
        haproxy.admin_socket ??
        (embedded ? `${data.run_dir}/haproxy-admin.sock` : '/run/haproxy/admin.sock'),
      masterSocket:
        haproxy.master_socket ??
        (embedded ? `${data.run_dir}/haproxy-master.sock` : '/run/haproxy-master.sock'),
      adminSocketInRegion: haproxy.admin_socket_in_region,
      bind: haproxy.bind,
      switchBy: haproxy.switch,
      bindTls: haproxy.bind_tls,
      http3: haproxy.http3,
      maxOldWorkers: haproxy.max_old_workers,
    },
    certificates: data.certificates,
    acme: data.acme,
    alerts:
      data.alerts === undefined
        ? null
        : { ...data.alerts.listen, tokenFile: data.alerts.token_file },
    metrics:
      data.metrics === undefined
        ? null
        : { ...data.metrics.listen, tokenFile: data.metrics.token_file ?? null },
    limits: {
      artifactBytes: limits.artifact_bytes,
      unpackedBytes: limits.unpacked_bytes,
      entries: limits.entries,
      reserveBytes: limits.reserve_bytes,
    },
  };
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.');
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
    throw new ZddError('ZDD_AGENT_CONFIG_INVALID', `${file} cannot be read`, { cause: error });
  }
}

function hasRange(node: unknown): node is { range: [number, number, number] } {
  return typeof node === 'object' && node !== null && 'range' in node && Array.isArray(node.range);
}

function at(file: string, lines: LineCounter, offset: number, message: string): string {
  const { line, col } = lines.linePos(offset);
  return `${file}:${line}:${col}  ${message}`;
}

function invalid(file: string, problems: readonly string[]): ZddError {
  const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
  return new ZddError('ZDD_AGENT_CONFIG_INVALID', `${file} has ${count}`, {
    evidence: problems.map((problem) => ['', problem]),
    tries: [`zdd-agentd config check --config ${file}`],
  });
}
