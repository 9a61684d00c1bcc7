import { ZddError } from '../../protocol/errors.ts';
import { MAX_PAGE_BYTES } from '../../protocol/gate.ts';
import { routeText } from '../../protocol/routes.ts';
import type { DesiredApp, DesiredMaintenance, DesiredProxy, ServerAddress } from '../desired.ts';

/**
 * The longest path HAProxy takes for a unix socket: `sun_path` has 108 bytes and HAProxy keeps
 * some for the temporary name it binds under. Measured on 2.6.12.
 */
export const MAX_SOCKET_PATH_BYTES = 97;

/** The backend of an app. */
export function backendOf(app: string): string {
  return `zdd_${app}`;
}

/** The app of a backend of ours, undefined for the admin's own. */
export function appOf(backend: string): string | undefined {
  return backend.startsWith('zdd_') ? backend.slice(4) : undefined;
}

/**
 * An address as HAProxy reads it. It opens unix sockets after its chroot, so a path inside the
 * chroot is named from there; one outside stays as it is (an in-chroot link may lead to it).
 */
export function addressText(address: ServerAddress, chroot: string | undefined): string {
  switch (address.kind) {
    case 'tcp':
      return `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
    case 'unix':
      return `unix@${insideChroot(address.path, chroot)}`;
  }
}

function insideChroot(path: string, chroot: string | undefined): string {
  return chroot !== undefined && path.startsWith(`${chroot}/`) ? path.slice(chroot.length) : path;
}

/**
 * Refuses what cannot be written into a configuration without changing its meaning.
 * @throws ZDD_ROUTE_CONFLICT, ZDD_HAPROXY_CONFIG_INVALID
 */
export function checkDesired(desired: DesiredProxy, chroot: string | undefined): void {
  const owners = new Map<string, string>();
  const apps = new Set<string>();
  for (const app of desired.apps) {
    if (!/^[a-z][a-z0-9-]*$/.test(app.app)) throw unfit('app name', app.app);
    if (apps.has(app.app)) throw unfit('app (given twice)', app.app);
    apps.add(app.app);
    if (app.check !== null && /[^\x20-\x7e]/.test(app.check.path)) {
      throw unfit('health check path', app.check.path);
    }
    for (const route of app.routes) {
      const text = routeText(route);
      if (!/^(\*|(\*\.)?[a-z0-9.-]+)(\/[A-Za-z0-9._~-]+)*$/.test(text)) throw unfit('route', text);
      const owner = owners.get(text);
      if (owner !== undefined) {
        throw new ZddError('ZDD_ROUTE_CONFLICT', `${text} belongs to ${owner} already.`, {
          evidence: [
            ['route', text],
            ['apps', `${owner}, ${app.app}`],
          ],
        });
      }
      owners.set(text, app.app);
    }
    checkAccess(app);
    const names = new Set<string>();
    for (const { name, weight, address } of app.servers) {
      if (!/^[A-Za-z0-9_.:-]{1,63}$/.test(name)) throw unfit('server name', name);
      if (names.has(name)) throw unfit('server (given twice)', name);
      names.add(name);
      if (!Number.isInteger(weight) || weight < 0 || weight > 256) {
        throw unfit('weight (0 to 256)', `${name} ${weight}`);
      }
      checkAddress(address, chroot);
    }
    checkMaintenance(app.maintenance);
    for (const count of [app.hold?.withinMs ?? 1, app.hold?.requests ?? 1]) {
      if (!Number.isInteger(count) || count < 1) throw unfit('limit of waiting', String(count));
    }
  }
}

function checkMaintenance(maintenance: DesiredMaintenance | undefined): void {
  if (maintenance === undefined) return;
  const { allow, page, retryAfterS } = maintenance;
  for (const network of allow) {
    if (!/^[0-9a-fA-F.:]+(\/\d{1,3})?$/.test(network)) throw unfit('network', network);
  }
  if (!Number.isInteger(retryAfterS) || retryAfterS < 0) {
    throw unfit('Retry-After', String(retryAfterS));
  }
  if (page === null) return;
  if (page.includes('\0')) throw unfit('maintenance page', 'it has a NUL byte');
  if (Buffer.byteLength(page) > MAX_PAGE_BYTES) {
    throw unfit(`maintenance page (${MAX_PAGE_BYTES} bytes at most)`, `${page.slice(0, 60)}...`);
  }
}

function checkAccess({ access, redirect }: DesiredApp): void {
  for (const from of access?.allow ?? []) {
    if (!/^[0-9a-fA-F.:/]+$/.test(from)) throw unfit('address', from);
  }
  for (const user of access?.basic_auth ?? []) {
    // The hash is nobody's business but HAProxy's.
    if (!/^[A-Za-z0-9._@-]+:\$[56]\$[./A-Za-z0-9=$]+$/.test(user)) {
      throw unfit('user of basic_auth', user.replace(/:.*/s, ''));
    }
  }
  const canonical = redirect?.canonical ?? 'a';
  if (!/^[a-z0-9.-]+$/.test(canonical)) throw unfit('canonical host', canonical);
}

function checkAddress(address: ServerAddress, chroot: string | undefined): void {
  switch (address.kind) {
    case 'tcp':
      if (!/^[A-Za-z0-9.:_-]+$/.test(address.host)) throw unfit('host', address.host);
      return;
    case 'unix': {
      const path = insideChroot(address.path, chroot);
      if (!/^\/[A-Za-z0-9_./:@+=,~-]+$/.test(path)) throw unfit('socket path', path);
      if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
        throw unfit(`socket path (${MAX_SOCKET_PATH_BYTES} bytes at most)`, path);
      }
    }
  }
}

function unfit(what: string, value: string): ZddError {
  return new ZddError('ZDD_HAPROXY_CONFIG_INVALID', `HAProxy cannot take this ${what}.`, {
    evidence: [[what, value]],
    traffic: 'unchanged',
  });
}
