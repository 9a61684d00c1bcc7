/** Exit codes of both programs. Scripts rely on them: they never change meaning. */
export const EXIT = {
  ok: 0,
  bug: 1,
  usage: 2,
  config: 10,
  unreachable: 11,
  locked: 12,
  failedTrafficUntouched: 20,
  rolledBack: 21,
  needsHuman: 22,
  interrupted: 130,
} as const;

/**
 * Every error a user can meet: its stable code, the exit code it leads to, and what it means.
 * `docs/errors.md` is checked against this table. Match on the code, never on the message.
 */
export const ERRORS = {
  ZDD_USAGE: { exit: EXIT.usage, means: 'the command line is wrong' },
  ZDD_CONFIG_INVALID: { exit: EXIT.config, means: 'zdd.yaml has problems; all are listed' },
  ZDD_CONFIG_MISSING: {
    exit: EXIT.config,
    means: 'there is no zdd.yaml in the artifact or folder',
  },
  ZDD_AGENT_CONFIG_INVALID: { exit: EXIT.config, means: 'agent.yaml has problems; all are listed' },
  ZDD_ROUTE_CONFLICT: { exit: EXIT.config, means: 'a route belongs to another app' },
  ZDD_ARTIFACT_EMPTY: { exit: EXIT.config, means: 'the archive has no files' },
  ZDD_ARTIFACT_UNKNOWN_FORMAT: { exit: EXIT.config, means: 'not a tar, tar.gz, tar.zst or tar.xz' },
  ZDD_ARTIFACT_CORRUPT: { exit: EXIT.config, means: 'the archive is cut short or damaged' },
  ZDD_ARTIFACT_DIGEST: {
    exit: EXIT.config,
    means: 'the bytes received are not the bytes announced',
  },
  ZDD_ARTIFACT_UNSAFE: { exit: EXIT.config, means: 'an entry of the archive may not be unpacked' },
  ZDD_ARTIFACT_TOO_LARGE: { exit: EXIT.config, means: 'the artifact exceeds a limit' },
  ZDD_ARTIFACT_UNKNOWN: { exit: EXIT.config, means: 'no such artifact was received' },
  ZDD_DISK_FULL: { exit: EXIT.failedTrafficUntouched, means: 'not enough free space on the host' },
  ZDD_AGENT_UNREACHABLE: {
    exit: EXIT.unreachable,
    means: 'the agent does not answer on its socket',
  },
  ZDD_AGENT_BUSY: { exit: EXIT.unreachable, means: 'the agent is starting or stopping' },
  ZDD_PROTOCOL_MISMATCH: { exit: EXIT.unreachable, means: 'CLI and agent versions do not fit' },
  ZDD_LOCKED: {
    exit: EXIT.locked,
    means: 'another deployment of this app is running, or somebody has locked it',
  },
  ZDD_DROP_REFUSED: {
    exit: EXIT.config,
    means: 'what lies in the drop folder may not be deployed',
  },
  ZDD_APP_UNKNOWN: { exit: EXIT.usage, means: 'no such app on this host' },
  ZDD_RELEASE_UNKNOWN: { exit: EXIT.usage, means: 'no such release of this app' },
  ZDD_NOTHING_TO_ROLL_BACK: { exit: EXIT.usage, means: 'there is no earlier good release' },
  ZDD_CONTRACT_EARLY: {
    exit: EXIT.usage,
    means: 'an older release could still come back, and could not after the contract',
  },
  ZDD_CONTRACT_CROSSED: {
    exit: EXIT.usage,
    means: 'a contract was run that the older release may not live with',
  },
  ZDD_STOPPED: { exit: EXIT.usage, means: 'the app is stopped' },
  ZDD_SCALE_INVALID: {
    exit: EXIT.usage,
    means: 'a process type cannot have that many instances',
  },
  ZDD_NOT_IN_CANARY: {
    exit: EXIT.usage,
    means: 'the deployment is not in its canary, nor rolling',
  },
  ZDD_ROLLING_IMPOSSIBLE: {
    exit: EXIT.config,
    means: 'these instances cannot be replaced one by one',
  },
  ZDD_NOTHING_TO_RETRY: { exit: EXIT.usage, means: 'the last deployment did not fail' },
  ZDD_NOTHING_RUNNING: { exit: EXIT.usage, means: 'no deployment is running' },
  ZDD_ENV_INVALID: { exit: EXIT.config, means: 'a variable has a name or value that is not kept' },
  ZDD_EXEC_FAILED: {
    exit: EXIT.unreachable,
    means: 'a command could not be begun in a release, or its session was cut',
  },
  ZDD_RELEASE_COMMAND_FAILED: {
    exit: EXIT.failedTrafficUntouched,
    means: 'the release command failed or ran out of time',
  },
  ZDD_START_FAILED: {
    exit: EXIT.failedTrafficUntouched,
    means: 'an instance could not be started',
  },
  ZDD_START_COMMAND_NOT_FOUND: {
    exit: EXIT.failedTrafficUntouched,
    means: 'the run command does not exist',
  },
  ZDD_PORT_IN_USE: { exit: EXIT.failedTrafficUntouched, means: 'no free port in the range' },
  ZDD_INSTANCE_CRASHED: {
    exit: EXIT.failedTrafficUntouched,
    means: 'an instance exited by itself',
  },
  ZDD_PROBE_TIMEOUT: {
    exit: EXIT.failedTrafficUntouched,
    means: 'the new release never became healthy',
  },
  ZDD_HOLD_TIMEOUT: {
    exit: EXIT.failedTrafficUntouched,
    means: 'an app that may not run twice could not change hands while requests waited',
  },
  ZDD_HOLD_UNAVAILABLE: {
    exit: EXIT.failedTrafficUntouched,
    means: 'an app that may not run twice needs an HAProxy that takes commands',
  },
  ZDD_SHADOW_FAILED: {
    exit: EXIT.failedTrafficUntouched,
    means: 'copies of live requests failed on the new release',
  },
  ZDD_SMOKE_FAILED: { exit: EXIT.failedTrafficUntouched, means: 'a smoke check failed' },
  ZDD_GATE_FAILED: { exit: EXIT.rolledBack, means: 'the new release failed while it was watched' },
  ZDD_HANDOVER_FAILED: {
    exit: EXIT.rolledBack,
    means: 'a worker of the new release did not start',
  },
  ZDD_ABORTED: {
    exit: EXIT.failedTrafficUntouched,
    means: 'the deployment was aborted by command',
  },
  ZDD_ROLLED_BACK: { exit: EXIT.rolledBack, means: 'the deployment was rolled back by command' },
  ZDD_INTERRUPTED: {
    exit: EXIT.failedTrafficUntouched,
    means: 'the agent was stopped at a step that cannot be repeated',
  },
  ZDD_HAPROXY_DOWN: { exit: EXIT.failedTrafficUntouched, means: 'HAProxy does not answer' },
  ZDD_HAPROXY_TOO_OLD: { exit: EXIT.failedTrafficUntouched, means: 'HAProxy is older than 2.6' },
  ZDD_HAPROXY_CONFIG_INVALID: {
    exit: EXIT.failedTrafficUntouched,
    means: 'haproxy.cfg does not pass haproxy -c',
  },
  ZDD_HAPROXY_REGION_BROKEN: {
    exit: EXIT.failedTrafficUntouched,
    means: 'the markers of the managed region are damaged',
  },
  ZDD_HAPROXY_COMMAND: { exit: EXIT.failedTrafficUntouched, means: 'HAProxy refused a command' },
  ZDD_HAPROXY_TIMEOUT: {
    exit: EXIT.failedTrafficUntouched,
    means: 'HAProxy did not answer in time',
  },
  ZDD_HAPROXY_RELOAD_FAILED: {
    exit: EXIT.failedTrafficUntouched,
    means: 'the new HAProxy worker did not start; the old one serves on',
  },
  ZDD_HAPROXY_IN_USE: {
    exit: EXIT.failedTrafficUntouched,
    means: 'another agent manages this HAProxy',
  },
  ZDD_HAPROXY_TOO_MANY_WORKERS: {
    exit: EXIT.failedTrafficUntouched,
    means: 'a reload is needed while too many old workers still hold connections',
  },
  ZDD_HAPROXY_SERVER_DOWN: {
    exit: EXIT.failedTrafficUntouched,
    means: 'HAProxy cannot reach an instance that the agent can',
  },
  ZDD_CERT_INVALID: { exit: EXIT.config, means: 'a certificate or its key cannot be used' },
  ZDD_CERT_CHAIN: { exit: EXIT.config, means: 'certificates that do not form a chain in order' },
  ZDD_CERT_KEY_MISMATCH: { exit: EXIT.config, means: 'the key is not that of the certificate' },
  ZDD_CERT_KEY_ENCRYPTED: { exit: EXIT.config, means: 'the key has a passphrase' },
  ZDD_CERT_EXPIRED: { exit: EXIT.config, means: 'the certificate is not valid now' },
  ZDD_CERT_UNKNOWN: { exit: EXIT.usage, means: 'no such certificate to take away on this host' },
  ZDD_ACME_FAILED: {
    exit: EXIT.failedTrafficUntouched,
    means: 'an ACME server issued no certificate; it is tried again',
  },
  ZDD_TLS_UNAVAILABLE: {
    exit: EXIT.config,
    means: "the agent's frontend takes no TLS on this host",
  },
  ZDD_STORE_TOO_NEW: { exit: EXIT.needsHuman, means: 'the database is of a newer agent' },
  ZDD_NEEDS_HUMAN: { exit: EXIT.needsHuman, means: 'the agent cannot decide what is safe' },
  ZDD_BUG: { exit: EXIT.bug, means: 'a fault of zdd-agent itself' },
} as const satisfies Record<string, { exit: number; means: string }>;

/** One of the stable error codes. */
export type ErrorCode = keyof typeof ERRORS;

/** An error as it travels and as it is stored: what failed, evidence, traffic, what to type. */
export interface ErrorBody {
  code: ErrorCode;
  message: string;
  /** Evidence, label to text, in the order to show it: `last answer`, `last output`, ... */
  evidence: [string, string][];
  /** The state of traffic now, in words. */
  traffic?: string | undefined;
  /** Exact commands to try next. */
  tries: string[];
}

/** Everything that may be said beside code and message. */
export interface ErrorContext {
  evidence?: ReadonlyArray<readonly [string, string]>;
  traffic?: string;
  tries?: readonly string[];
  cause?: unknown;
}

/** An error that is the user's or the world's, never a fault of ours: shown without a stack. */
export class ZddError extends Error {
  readonly code: ErrorCode;
  readonly evidence: ReadonlyArray<readonly [string, string]>;
  readonly traffic: string | undefined;
  readonly tries: readonly string[];

  constructor(code: ErrorCode, message: string, context: ErrorContext = {}) {
    super(message, context.cause === undefined ? undefined : { cause: context.cause });
    this.name = 'ZddError';
    this.code = code;
    this.evidence = context.evidence ?? [];
    this.traffic = context.traffic;
    this.tries = context.tries ?? [];
  }

  /** The exit code that this error leads to. */
  get exit(): number {
    return ERRORS[this.code].exit;
  }

  toBody(): ErrorBody {
    return {
      code: this.code,
      message: this.message,
      evidence: this.evidence.map(([label, text]) => [label, text]),
      ...(this.traffic === undefined ? {} : { traffic: this.traffic }),
      tries: [...this.tries],
    };
  }

  static fromBody(body: ErrorBody): ZddError {
    return new ZddError(body.code, body.message, {
      evidence: body.evidence,
      tries: body.tries,
      ...(body.traffic === undefined ? {} : { traffic: body.traffic }),
    });
  }
}

/** Turns anything thrown into an error body; what is not ours becomes ZDD_BUG. */
export function toErrorBody(thrown: unknown): ErrorBody {
  if (thrown instanceof ZddError) return thrown.toBody();
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return { code: 'ZDD_BUG', message, evidence: [], tries: [] };
}
