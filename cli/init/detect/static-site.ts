import type { Project } from '../project.ts';
import { NOTHING, type Proposal } from '../proposal.ts';
import { siteBuilderOf } from './node-frameworks.ts';
import { managerOf, packagesOf, readNodeManifest } from './node-manifest.ts';

/** Where the builders of sites leave their files, when nothing is built yet. */
const OUTPUT: Readonly<Record<string, string>> = {
  vite: 'dist',
  astro: 'dist',
  parcel: 'dist',
  '@angular/cli': 'dist',
  '@vue/cli-service': 'dist',
  'react-scripts': 'build',
  gatsby: 'public',
  '@11ty/eleventy': '_site',
  vitepress: '.vitepress/dist',
};

/** Files and no server: by a built folder, an `index.html`, or the tool that makes them. */
export function detectStaticSite(project: Project): Proposal | null {
  const manifest = readNodeManifest(project);
  const builder = manifest === null ? null : siteBuilderOf(packagesOf(manifest));
  const built = ['dist', 'build', 'out', '_site', 'public'].find((folder) =>
    project.files.includes(`${folder}/index.html`),
  );
  const root =
    (builder === null ? undefined : (built ?? OUTPUT[builder])) ??
    built ??
    (project.files.includes('index.html') ? '.' : undefined);
  if (root === undefined) return null;
  const manager = managerOf(project);
  const build = manifest?.scripts['build'] !== undefined;
  return {
    ...NOTHING,
    kind: 'static',
    what: builder === null ? 'a static site' : `a static site made by ${builder}`,
    from:
      builder === null ? [root === '.' ? 'index.html' : `${root}/index.html`] : ['package.json'],
    sure: true,
    processes: [
      {
        name: 'web',
        run: {
          value: `caddy file-server --listen $HOST:$PORT --root ${root}`,
          why: 'files need a server; Caddy is one made for production',
        },
        listen: { value: 'port', why: 'works with every version of Caddy' },
        health: { value: '/', why: 'the start page' },
        overlap: true,
      },
    ],
    host: ['caddy (sudo apt-get install caddy); its own service may stay off'],
    prepare: build ? [manager.install, `${manager.name} run build`] : [],
    ignore: root === '.' ? [] : ['node_modules/', 'src/'],
    checks: [
      ...(root === '.'
        ? ['everything here is served, zdd.yaml too: better have the site in a folder, public/']
        : []),

      'an app whose addresses are no files (client-side routes) needs a Caddyfile with try_files',
      'python3 -m http.server and the like are for development: they are slow and unsafe',
    ],
  };
}
