import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

/** Debian releases whose HAProxy is of another version than Debian 12's 2.6. */
const SUITES: ReadonlyMap<string, string> = new Map([
  ['3.0', 'trixie'],
  ['3.2', 'sid'],
]);

/** The programs that are taken: HAProxy, and a curl of its time, which speaks HTTP/3. */
const PROGRAMS = { haproxy: 'usr/sbin/haproxy', curl: 'usr/bin/curl' } as const;
/** Of what they depend on, the libraries; the rest is for installing them. */
const LIBRARIES = /^(haproxy|curl|lib|zlib|openssl|gcc)/;

/** The versions that `anotherHaproxy` knows. */
export const OTHER_VERSIONS = [...SUITES.keys()];

/**
 * Gets Debian's package of another HAProxy through this machine's own apt, which keeps its mirrors and
 * keys, unpacks it beside the installed one and changes nothing else. It runs with its own C library. So
 * does the curl of that Debian.
 * @param cache folder that may be kept: what is there is not fetched again
 * @returns a folder with a `haproxy` and a `curl` in it, to be put first in PATH
 * @throws Error when this machine is no Debian, or its mirror has that version no more
 */
export function anotherHaproxy(version: string, cache: string): string {
  const suite = SUITES.get(version);
  if (suite === undefined) {
    throw new Error(`--haproxy takes ${OTHER_VERSIONS.join(' or ')}, not ${version}`);
  }
  const folder = join(cache, `debian-${suite}`);
  if (!existsSync(folder)) {
    const making = `${folder}.making`;
    rmSync(making, { recursive: true, force: true });
    fetchPackages(suite, making);
    renameSync(making, folder);
  }
  return writeLaunchers(folder);
}

function fetchPackages(suite: string, folder: string): void {
  for (const sub of ['lists/partial', 'archives/partial', 'root']) {
    mkdirSync(join(folder, sub), { recursive: true });
  }
  writeFileSync(
    join(folder, 'sources.list'),
    `deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror()} ${suite} main\n`,
  );
  // Nothing is installed as far as this apt knows, so it fetches every library.
  writeFileSync(join(folder, 'status'), '');
  const own = {
    'Dir::Etc::sourcelist': join(folder, 'sources.list'),
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::State': folder,
    'Dir::State::status': join(folder, 'status'),
    'Dir::Cache': folder,
    'APT::Sandbox::User': '',
  };
  const options = Object.entries(own).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
  const apt = (...args: string[]): void => {
    execFileSync('apt-get', [...options, '-q', ...args], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  };
  apt('update');
  apt('install', '-y', '--download-only', '--no-install-recommends', ...Object.keys(PROGRAMS));
  for (const name of readdirSync(join(folder, 'archives'))) {
    if (!LIBRARIES.test(name)) continue;
    execFileSync('dpkg-deb', ['-x', join(folder, 'archives', name), join(folder, 'root')]);
  }
  for (const sub of ['lists', 'archives']) rmSync(join(folder, sub), { recursive: true });
}

/** Where this machine has its own packages from. */
function mirror(): string {
  const repositories = execFileSync(
    'apt-get',
    ['indextargets', '--format', '$(REPO_URI)', 'Created-By: Packages'],
    { encoding: 'utf8' },
  );
  const found = repositories.split('\n').find((uri) => uri.endsWith('/debian/'));
  if (found === undefined)
    throw new Error('this machine has no Debian mirror to take HAProxy from');
  return found.replace(/\/$/, '');
}

/** HAProxy executes itself anew when it is reloaded, by the name it was started with: the launcher's. */
function writeLaunchers(folder: string): string {
  const bin = join(folder, 'bin');
  const libraries = join(folder, 'root/usr/lib/x86_64-linux-gnu');
  mkdirSync(bin, { recursive: true });
  for (const [name, program] of Object.entries(PROGRAMS)) {
    const launcher = join(bin, name);
    writeFileSync(
      launcher,
      `#!/bin/sh
exec '${libraries}/ld-linux-x86-64.so.2' --argv0 '${launcher}' --library-path '${libraries}' '${folder}/root/${program}' "$@"
`,
    );
    chmodSync(launcher, 0o755);
  }
  return bin;
}
