import { access, readFile } from 'node:fs/promises';
import type { PrivateHost } from '../../demo/private-host.ts';
import type { ConfigOverrides, ShopBehaviour, ShopRelease } from '../../examples/build-release.ts';
import { ledgerOf, push } from './shop.ts';

/**
 * Starts the shop as an app would that holds a database of one file: twice is an accident. The lock is
 * a socket without a file: it is free when its owner has ended, collected by its parent or not.
 */
export const RUNS_ONCE = `import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
const ledger = process.env.ZDD_SHOP_LEDGER;
const slot = process.env.ZDD_SLOT;
await new Promise((resolve) => {
  const lock = createServer().unref();
  lock.on('error', () => {
    appendFileSync(ledger + '.twice', slot + ' beside ');
    appendFileSync(ledger + '.twice', readFileSync(ledger + '.owner', 'utf8'));
    process.exit(1);
  });
  lock.listen('\\0' + ledger, resolve);
});
writeFileSync(ledger + '.owner', slot + ' ' + process.pid + '\\n');
await import('./server.js');
`;

/** A release of the shop that may not run twice. */
export function alone(behaviour: ShopBehaviour, config: ConfigOverrides = {}): ShopRelease {
  return {
    behaviour,
    files: { 'alone.js': RUNS_ONCE },
    config: {
      // No third of it is a whole number of ms.
      hold: { within: '25s' },
      // Who waited comes at once, the slow ones of the load among them.
      gates: { p99: '20s' },
      ...config,
      processes: { web: { run: 'node alone.js', instances: 1, overlap: false } },
    },
  };
}

export async function pushAlone(
  host: PrivateHost,
  behaviour: ShopBehaviour,
  config: ConfigOverrides = {},
  options: readonly string[] = [],
): ReturnType<PrivateHost['cli']> {
  return await push(host, alone(behaviour, config), options);
}

/** The slots that were started while another instance ran, and which that was. */
export async function startedTwice(host: PrivateHost): Promise<string[]> {
  const path = `${ledgerOf(host)}.twice`;
  const isThere = await access(path).then(
    () => true,
    () => false,
  );
  return isThere ? (await readFile(path, 'utf8')).trim().split('\n') : [];
}
