import { DISTRIBUTIONS, type Distribution, lab, layerOf, VpsHost } from './host.ts';

/** Installs the package once a distribution; the hosts of the tests start from there. */
export async function setup(): Promise<void> {
  await Promise.all(DISTRIBUTIONS.map(install));
}

/** Takes every host down, and the lab's network with them. */
export async function teardown(): Promise<void> {
  await lab('down');
}

async function install(distribution: Distribution): Promise<void> {
  const host = await VpsHost.up(distribution, 'first');
  const { code, stdout, stderr } = await host.install('--yes', '--deploy-user', 'deploy');
  if (code !== 0) {
    throw new Error(`install.sh ended with ${code} on ${distribution}\n${stdout}${stderr}`);
  }
  await host.must('rm -rf /root/package');
  await host.keepAs(layerOf(distribution));
}
