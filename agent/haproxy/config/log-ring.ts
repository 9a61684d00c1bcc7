import { type LogPlace, MAX_LINE_BYTES, structuredData } from '../access-log/format.ts';

/**
 * Requests are told to the agent by way of this ring: HAProxy never waits for who reads it, and what
 * nobody reads is overwritten. TCP, because HAProxy 2.6 spins when a unix socket has no reader. Its name
 * is nobody else's: from 3.2 on a ring and a backend of one name are refused.
 */
export function logRing({ port }: LogPlace): string[] {
  return [
    'ring zdd-log',
    '  # For the agent, which judges releases by it. No path, no client: the filler pushes them out.',
    '  format rfc5424',
    `  maxlen ${MAX_LINE_BYTES}`,
    '  size 1048576',
    '  timeout connect 2s',
    '  timeout server 10s',
    `  server agent 127.0.0.1:${port}`,
  ];
}

/** Beside the admin's log and in a format of its own, so that the admin's stays as it is. */
export function logToRing(place: LogPlace | undefined): string[] {
  if (place === undefined) return [];
  return [
    `  log ring@zdd-log len ${MAX_LINE_BYTES} format rfc5424 local0`,
    `  log-format-sd "${structuredData(place.name)}"`,
  ];
}
