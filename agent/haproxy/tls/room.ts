import { ZddError } from '../../protocol/errors.ts';
import { bindsOf } from '../bindable.ts';
import { readConfig } from '../config/file.ts';
import { findRegion } from '../config/region.ts';
import type { ResolvedOptions } from '../options.ts';

/**
 * Whether the agent's frontend may take TLS here. Where a frontend of the admin's has the port, a
 * second `bind` would not fail: the kernel would share the connections out between both.
 * @throws ZDD_TLS_UNAVAILABLE
 */
export async function requireTls({ bind, bindTls, configPath }: ResolvedOptions): Promise<void> {
  if (bind().length === 0) {
    throw unavailable('the frontends of this host are of its admin, and so are its certificates', [
      ['haproxy.bind', 'empty in agent.yaml'],
    ]);
  }
  if (bindTls().length === 0) {
    throw unavailable('HAProxy is to take no TLS on this host', [
      ['haproxy.bind_tls', 'empty in agent.yaml'],
    ]);
  }
  const text = (await readConfig(configPath)) ?? '';
  const cut = findRegion(text);
  const theirs = bindsOf(cut === undefined ? text : `${cut.before}${cut.after}`);
  const ports = new Set(
    bindsOf(
      bindTls()
        .map((address) => `bind ${address}`)
        .join('\n'),
    ).map(portOf),
  );
  const taken = theirs.find((each) => ports.has(each.port));
  if (taken === undefined) return;
  throw unavailable(`a frontend outside the managed region has port ${taken.port}`, [
    ['haproxy.cfg', taken.text],
  ]);
}

function portOf({ port }: { readonly port: number }): number {
  return port;
}

function unavailable(
  message: string,
  evidence: ReadonlyArray<readonly [string, string]>,
): ZddError {
  return new ZddError('ZDD_TLS_UNAVAILABLE', message, {
    evidence,
    traffic: 'untouched',
    tries: ['haproxy.bind_tls in /etc/zdd-agent/agent.yaml says where the agent takes TLS'],
  });
}
