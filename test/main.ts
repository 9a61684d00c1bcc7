import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { anotherHaproxy, OTHER_VERSIONS } from './haproxy/another-version.ts';
import { MODULES, runVitest, sumUp } from './vitest-run.ts';
import { runOnHosts, whyNoHosts } from './vps/lab/run.ts';

const SHELL_SCRIPTS = [
  'install.sh',
  'bin/bootstrap',
  'templates/bin/zdd-agent',
  'templates/bin/zdd-agentd',
  'templates/deb/postinst',
  'templates/deb/postrm',
  'templates/deb/prerm',
  'templates/libexec/mount-sockets',
  'templates/libexec/provision',
  'templates/libexec/start-apps',
  'templates/libexec/watch-master-socket',
  'test/vps/lab/lab.sh',
];

/**
 * `npm test [FILES]`: type check, lint (the shell scripts by shellcheck), then every test, those on real hosts too, and a soak of two minutes; the
 * last line counts the tests. `npm test -- --haproxy 3.0 [FILES]`: the tests of HAProxy alone, against that version. `--switch reload`: with
 * hosts that switch by reload.
 */

function step(title: string, args: readonly string[]): void {
  process.stderr.write(`\n> ${title}\n`);
  const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

/** Every script that the project ships or its tests run, by shellcheck. */
function lintShellScripts(): void {
  process.stderr.write('\n> shell scripts\n');
  const { error, status } = spawnSync('shellcheck', SHELL_SCRIPTS, { stdio: 'inherit' });
  if (error !== undefined) process.stdout.write('NOT RUN: shellcheck is not on this machine\n');
  else if (status !== 0) process.exit(status ?? 1);
}

/** The tests that talk to HAProxy, with another one first in PATH; no others, and no lint. */
function runAgainst(version: string, files: readonly string[]): void {
  if (!OTHER_VERSIONS.includes(version)) {
    process.stderr.write(`Error: --haproxy takes ${OTHER_VERSIONS.join(' or ')}, not ${version}\n`);
    process.exit(2);
  }
  const bin = anotherHaproxy(version, MODULES);
  process.env['PATH'] = `${bin}:${process.env['PATH'] ?? ''}`;
  spawnSync('haproxy', ['-v'], { stdio: 'inherit' });
  const counts = runVitest(files.length > 0 ? files : ['test/haproxy', 'test/deploys']);
  process.stdout.write(sumUp([counts]));
  process.exit(counts.ok ? 0 : 1);
}

/** Two minutes of everything at once; its seed stands in its first line. */
function soak(): boolean {
  process.stderr.write('\n> soak\n');
  const main = join(import.meta.dirname, '../soak/main.ts');
  const by = values.switch ?? 'runtime';
  const args = [main, '--minutes', '2', '--switch', by, '--json'];
  const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' });
  return status === 0;
}

const { values, positionals: files } = parseArgs({
  options: { haproxy: { type: 'string' }, switch: { type: 'string' } },
  allowPositionals: true,
});
if (values.switch !== undefined) process.env['ZDD_TEST_SWITCH'] = values.switch;
if (values.haproxy !== undefined) runAgainst(values.haproxy, files);
step('types', [join(MODULES, 'typescript/bin/tsc'), '--noEmit']);
step('lint', [join(MODULES, '@biomejs/biome/bin/biome'), 'check', '.']);

lintShellScripts();

process.stderr.write('\n> tests\n');
const counts = [runVitest(files)];

if (files.length === 0) {
  process.stderr.write('\n> tests on real hosts\n');
  const why = whyNoHosts();
  if (why === null) counts.push(runOnHosts([]));
  else process.stdout.write(`NOT RUN: the tests on real hosts (test/vps): ${why}\n`);
}

const soaked = files.length > 0 || soak();
process.stdout.write(sumUp(counts));
process.exitCode = soaked && counts.every(({ ok }) => ok) ? 0 : 1;
