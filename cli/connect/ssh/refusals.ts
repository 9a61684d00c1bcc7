import type { ErrorContext } from '../../../agent/protocol/errors.ts';
import { ZddError } from '../../../agent/protocol/errors.ts';
import { LastingError } from '../lasting.ts';
import type { HostSettings } from './config/settings.ts';
import type { Verdict } from './host-keys/judge.ts';
import { fingerprint, type KnownKey } from './host-keys/known-hosts.ts';
import type { Identity, PassedOver } from './keys/identity.ts';
import { quoted, sameCommand } from './same-command.ts';

const CODE = 'ZDD_AGENT_UNREACHABLE';

function lasting(message: string, context: ErrorContext): LastingError {
  return new LastingError(CODE, message, context);
}

/** `deploy@web1.example.com:2222`, whatever alias was typed. */
export function placeOf({ user, host, port }: HostSettings): string {
  const name = host.includes(':') ? `[${host}]` : host;
  return `${user}@${name}${port === 22 ? '' : `:${port}`}`;
}

/** The words with which the system's ssh reaches the same host: to see what it says. */
export function sshTo({ typed, host, port, user }: HostSettings, option = ''): string {
  // An alias is enough for ssh; a port that was typed with a colon is not understood by it.
  const plain = /^[\w.@-]+$/.test(typed);
  const where = plain ? typed : `-p ${port} ${quoted(`${user}@${host}`)}`;
  return `ssh ${option === '' ? '' : `${option} `}${where}`;
}

/** TCP, or the proxy in front of it. */
export function notConnected(settings: HostSettings, cause: unknown): ZddError {
  const errno = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  const evidence: [string, string][] = [['host', placeOf(settings)]];
  const tries = [`${sshTo(settings)} true`];
  switch (errno) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EAI_NODATA':
      return new ZddError(CODE, `there is no host called ${settings.host}`, {
        evidence: [
          ...evidence,
          ['why', errno === 'EAI_AGAIN' ? 'the name server does not answer' : 'no such name'],
        ],
        tries: [`getent hosts ${quoted(settings.host)}`, ...tries],
        cause,
      });
    case 'ECONNREFUSED':
      return new ZddError(
        CODE,
        `${settings.host} takes no SSH connection on port ${settings.port}`,
        {
          evidence: [...evidence, ['why', 'refused: nothing listens there, or a firewall says so']],
          tries,
          cause,
        },
      );
    default:
      return new ZddError(CODE, `${settings.host} cannot be reached`, {
        evidence: [...evidence, ['why', cause instanceof Error ? reason(cause) : String(cause)]],
        tries,
        cause,
      });
  }
}

function reason(error: Error): string {
  // Several addresses were tried: each with a reason of its own.
  if (error instanceof AggregateError) {
    return error.errors.map((each) => (each instanceof Error ? each.message : each)).join('; ');
  }
  return error.message;
}

/** A stage of connecting that took too long. @param stage `connect`, `handshake`, `log in` */
export function tooSlow(settings: HostSettings, stage: string, ms: number): ZddError {
  return new ZddError(CODE, `${settings.host} did not answer within ${ms / 1_000} s`, {
    evidence: [
      ['host', placeOf(settings)],
      ['stage', stage],
    ],
    tries: [`${sshTo(settings)} true`],
  });
}

/** The host's key is not one that may be trusted. */
export function keyRefused(
  settings: HostSettings,
  name: string,
  { type, blob }: { readonly type: string; readonly blob: Buffer },
  verdict: Exclude<Verdict, { kind: 'known' }>,
): LastingError {
  const host: [string, string] = ['host', placeOf(settings)];
  const shown: [string, string] = ['its key', `${type} ${fingerprint(blob)}`];
  const look = `ssh-keygen -lf /etc/ssh/ssh_host_${keyFileType(type)}_key.pub`;
  switch (verdict.kind) {
    case 'revoked':
      return lasting(`the key of ${settings.host} is revoked: nobody may use it any more`, {
        evidence: [host, shown, ['revoked in', placeIn(verdict.by)]],
        tries: [],
      });
    case 'changed':
      return lasting(
        `THE KEY OF ${settings.host} HAS CHANGED: it may be another host that pretends`,
        {
          evidence: [
            host,
            shown,
            ['known', `${verdict.known.type} ${fingerprint(verdict.known.blob)}`],
            ['known in', placeIn(verdict.known)],
            ['nothing was sent', 'neither a key of yours nor a byte of the release'],
            ['if it is right', `compare on the host itself: ${look}`],
          ],
          tries: [
            `ssh-keygen -R ${quoted(name)} -f ${quoted(verdict.known.file)}`,
            sameCommand('--accept-new'),
          ],
        },
      );
    case 'unknown': {
      const [authority] = verdict.authorities;
      if (authority) {
        return lasting(`${settings.host} is known by a certificate, which only ssh can check`, {
          evidence: [host, shown, ['authority in', placeIn(authority)]],
          tries: [sameCommand('--ssh-command')],
        });
      }
      return lasting(`the key of ${settings.host} is not known yet`, {
        evidence: [host, shown, ['compare it', `on the host itself: ${look}`]],
        tries: [sameCommand('--accept-new')],
      });
    }
  }
}

function placeIn({ file, line }: KnownKey): string {
  return `${file}:${line}`;
}

function keyFileType(type: string): string {
  if (type.startsWith('ecdsa')) return 'ecdsa';
  return type === 'ssh-rsa' ? 'rsa' : 'ed25519';
}

export interface LoginAttempt {
  readonly tried: readonly Identity[];
  readonly passedOver: readonly PassedOver[];
  /** Ways to log in that the host still takes; null when it did not say. */
  readonly methods: readonly string[] | null;
}

/** No key was accepted. */
export function loginRefused(settings: HostSettings, attempt: LoginAttempt): LastingError {
  const { tried, passedOver, methods } = attempt;
  const evidence: [string, string][] = [['host', placeOf(settings)]];
  for (const { label, type, fingerprint: print, origin } of tried) {
    evidence.push(['refused', `${type} ${print} ${label}${origin === 'agent' ? ' (agent)' : ''}`]);
  }
  for (const { label, why } of passedOver) evidence.push(['not tried', `${label}: ${why}`]);
  if (methods !== null) evidence.push(['it takes', methods.join(', ')]);
  const elsewhere = passedOver.some(({ why }) => why.includes('--ssh-command'));
  const otherWay = elsewhere || (methods !== null && !methods.includes('publickey'));
  return lasting(
    tried.length === 0
      ? `there is no key to log in to ${settings.host} with`
      : `${settings.host} accepts none of your keys`,
    {
      evidence,
      tries: [
        ...(otherWay ? [sameCommand('--ssh-command')] : []),
        ...(tried.length === 0
          ? passedOver.some(({ why }) => why.startsWith('encrypted'))
            ? ['ssh-add']
            : ['ssh-keygen -t ed25519']
          : []),
        `ssh-copy-id -p ${settings.port} ${quoted(`${settings.user}@${settings.host}`)}`,
      ],
    },
  );
}

/** The host gave up after the first few keys. */
export function tooManyKeys(settings: HostSettings, attempt: LoginAttempt): LastingError {
  return lasting(`${settings.host} hung up: too many keys were tried`, {
    evidence: [
      ['host', placeOf(settings)],
      ['tried', `${attempt.tried.length} keys; the right one may be among the others`],
      ['mend', `IdentityFile and "IdentitiesOnly yes" for this host in ~/.ssh/config`],
    ],
    tries: [`${sshTo(settings)} true`],
  });
}

/** A key was accepted and is not enough, or this host takes none at all. */
export function moreThanKey(settings: HostSettings, methods: readonly string[]): LastingError {
  return lasting(`a key is not enough for ${settings.host}`, {
    evidence: [
      ['host', placeOf(settings)],
      ['it takes', methods.join(', ') || 'nothing it would name'],
    ],
    tries: [sameCommand('--ssh-command')],
  });
}

/** Whatever else ended a handshake. */
export function handshakeFailed(settings: HostSettings, cause: unknown): ZddError {
  const why = cause instanceof Error ? cause.message : String(cause);
  // ssh2's words for a negotiation that found nothing in common.
  const nothingInCommon = /no matching/i.test(why);
  const context = {
    evidence: [
      ['host', placeOf(settings)],
      ['why', why],
    ] satisfies [string, string][],
    tries: [nothingInCommon ? sameCommand('--ssh-command') : `${sshTo(settings)} true`],
    cause,
  };
  if (!nothingInCommon) {
    return new ZddError(CODE, `SSH with ${settings.host} failed before the login`, context);
  }
  return lasting(`${settings.host} and this CLI have no cipher or key exchange in common`, context);
}

/** A connection that stood and stands no more. */
export function connectionLost(settings: HostSettings, cause: unknown): ZddError {
  return new ZddError(CODE, `the SSH connection to ${settings.host} was cut`, {
    evidence: [
      ['host', placeOf(settings)],
      ['why', cause instanceof Error ? cause.message : 'the other side closed it'],
    ],
    tries: [`${sshTo(settings)} true`],
    cause,
  });
}
