import { UsageError } from '../../usage-error.ts';

/** What a user names a host by, before `~/.ssh/config` has its say. */
export interface Destination {
  /** As it was typed. */
  readonly typed: string;
  /** A name, an address, or an alias of `~/.ssh/config`. */
  readonly host: string;
  readonly user: string | undefined;
  readonly port: number | undefined;
}

/**
 * `host`, `user@host`, `user@host:port`, `[address]:port`, `ssh://user@host:port`.
 * @throws UsageError when it is none of them
 */
export function parseDestination(typed: string): Destination {
  const rest = typed.startsWith('ssh://') ? typed.slice(6).replace(/\/$/, '') : typed;
  // The last one: a user name may itself have an @.
  const at = rest.lastIndexOf('@');
  const user = at < 0 ? undefined : rest.slice(0, at);
  const place = rest.slice(at + 1);
  const { host, port } = splitPort(place);
  // What begins with a dash would be an option for the system's ssh.
  if (!/^[\p{L}\p{N}_:][\p{L}\p{N}._:%-]*$/u.test(host)) throw refusal(typed);
  if (user !== undefined && !/^[\p{L}\p{N}_][\p{L}\p{N}._@+-]*$/u.test(user)) throw refusal(typed);
  if (port === undefined) return { typed, host, user, port };
  const number = Number(port);
  if (!/^\d{1,5}$/.test(port) || number < 1 || number > 65_535) throw refusal(typed);
  return { typed, host, user, port: number };
}

function splitPort(place: string): { host: string; port: string | undefined } {
  const bracketed = /^\[([^\]]+)\](?::(.*))?$/.exec(place);
  if (bracketed?.[1] !== undefined) return { host: bracketed[1], port: bracketed[2] };
  const colons = place.split(':');
  const [host = '', port] = colons;
  // More than one colon without brackets is an IPv6 address.
  return colons.length === 2 ? { host, port } : { host: place, port: undefined };
}

function refusal(typed: string): UsageError {
  return new UsageError(`expected a host such as deploy@web1.example.com:22, got "${typed}"`, [
    'zdd-agent status --host deploy@web1.example.com',
  ]);
}

/** The words by which the system's ssh finds it: a port behind a colon means nothing to ssh. */
export function wordsOfSsh({ host, user, port }: Destination): string[] {
  return [
    ...(port === undefined ? [] : ['-p', String(port)]),
    user === undefined ? host : `${user}@${host}`,
  ];
}
