import { access, readFile } from 'node:fs/promises';
import type { PrivateHost } from '../../demo/private-host.ts';
import type { ConfigOverrides, ShopBehaviour, ShopRelease } from '../../examples/build-release.ts';
import { ledgerOf, push } from './shop.ts';

/** Starts the shop as an app would that holds a database of one file: twice is an accident. */
export const RUNS_ONCE = `import { appendFileSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
const lock = process.env.ZDD_SHOP_LEDGER + '.lock';
const lives = (pid) => { try { process.kill(pid, 0); return true; } catch { return false; } };
try {
  writeFileSync(lock, String(process.pid), { flag: 'wx' });
} catch {
  const other = Number(readFileSync(lock, 'utf8'));
  if (lives(other)) {
    appendFileSync(process.env.ZDD_SHOP_LEDGER + '.twice', process.env.ZDD_SLOT + '\\n');
    process.exit(1);
  }
  writeFileSync(lock, String(process.pid));
}
process.on('exit', () => unlinkSync(lock));
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

/** The slots that were started while another instance ran. */
export async function startedTwice(host: PrivateHost): Promise<string[]> {
  const path = `${ledgerOf(host)}.twice`;
  const isThere = await access(path).then(
    () => true,
    () => false,
  );
  return isThere ? (await readFile(path, 'utf8')).trim().split('\n') : [];
}
