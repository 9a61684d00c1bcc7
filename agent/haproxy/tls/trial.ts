import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkConfig } from '../config/check.ts';
import { renderTrial } from '../config/tls.ts';

/**
 * Whether HAProxy can use a certificate: what Node takes, its TLS library may still find too weak.
 * The key is in a folder that only this user may enter, for as long as that takes.
 * @throws ZDD_HAPROXY_CONFIG_INVALID
 */
export async function tryCertificate(
  binary: string,
  pem: string,
  signal: AbortSignal,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'zdd-trial-'));
  try {
    const path = join(folder, 'haproxy.cfg');
    const text = renderTrial(join(folder, 'certificate.pem'));
    await writeFile(join(folder, 'certificate.pem'), pem, { mode: 0o600 });
    await writeFile(path, text);
    await checkConfig(path, { target: path, text, before: undefined }, binary, signal);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
