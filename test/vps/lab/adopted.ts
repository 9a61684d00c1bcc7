import { expect } from 'vitest';
import { type Distribution, VpsHost } from './host.ts';

/** What an admin added to the distribution's file: it is customised then. */
const OWN = `
frontend own
  bind 127.0.0.1:8404
  mode http
  option idle-close-on-response
  http-request return status 200 content-type text/plain string "of the admin"
`;

/**
 * A host whose HAProxy was there before: as the distribution runs it, begun by root, in a chroot, with
 * a section of the admin's. Port 80 is the agent's.
 */
export async function adoptedHost(distribution: Distribution, subject: string): Promise<VpsHost> {
  const host = await VpsHost.up(distribution, subject);
  await host.must(
    `DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends haproxy >/dev/null 2>&1
     cat >>/etc/haproxy/haproxy.cfg && systemctl restart haproxy`,
    { input: OWN },
  );
  const { code, stdout, stderr } = await host.install('--adopt', '--deploy-user', 'deploy');
  expect(code, stdout + stderr).toBe(0);
  return host;
}
