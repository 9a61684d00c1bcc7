/** What a complete file of our own needs to know. */
export interface CompleteOptions {
  readonly adminSocket: string;
}

/**
 * The part outside the region of an embedded HAProxy's file, written once, when there is no file.
 * It runs as the daemon's user, so there is no `user`, `group` or `chroot`.
 *
 * `hard-stop-after` cuts what an old worker still carries after a reload. It is a day, longer than
 * any drain a `zdd.yaml` should promise, so that only what has leaked is ever cut by it: the agent
 * itself closes the WebSockets of releases that leave, on old workers too.
 * `stats maxconn`: with the default of 10 the eleventh connection hangs.
 */
export function renderComplete(options: CompleteOptions): string {
  return `# HAProxy of zdd-agent. Everything outside the managed region is yours to change.
global
  log stdout format raw daemon notice
  stats socket ${options.adminSocket} mode 600 level admin expose-fd listeners
  stats maxconn 100
  stats timeout 30s
  hard-stop-after 24h

`;
}
