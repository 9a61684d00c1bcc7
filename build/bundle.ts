import { builtinModules } from 'node:module';
import { join } from 'node:path';
import { build, type Plugin } from 'esbuild';

/** A program in one file, and the npm packages whose code is inside. */
export interface Bundle {
  readonly code: Uint8Array;
  readonly packages: ReadonlySet<string>;
}

// The CommonJS packages inside an ES module ask for Node's own modules by `require`, and ssh2's
// Poly1305 for the folder that it lies in.
const BANNER = `const require = process.getBuiltinModule('node:module').createRequire(import.meta.url);
const __dirname = import.meta.dirname;`;

/**
 * Bundles a program: where it runs, no node_modules is needed.
 * @param entry the program's main module, relative to `root`
 */
export async function bundle(root: string, entry: string): Promise<Bundle> {
  const result = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    outfile: join(root, 'dist', 'program.mjs'),
    write: false,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    // Compiled parts that packages can do without: none is compiled here, none is in the package.
    external: ['*.node'],
    banner: { js: BANNER },
    // Half of it need not be read at each start. Names stay, for who reads a stack.
    minifyWhitespace: true,
    minifySyntax: true,
    plugins: [builtinsWhenNeeded, oneLanguage, sshClientOnly],
    metafile: true,
    logLevel: 'warning',
  });
  const [file] = result.outputFiles;
  if (file === undefined) throw new Error(`esbuild made nothing of ${entry}`);
  return { code: file.contents, packages: packagesOf(Object.keys(result.metafile.inputs)) };
}

/**
 * An import of one of Node's own modules is done before the program begins, whoever in it may need it:
 * together they take half as long as an empty program. So each is fetched by what needs it.
 */
const builtinsWhenNeeded: Plugin = {
  name: 'builtins-when-needed',
  setup(make) {
    const names = new Set(builtinModules.map((name) => name.replace(/^node:/, '')));
    make.onResolve({ filter: /./ }, ({ path }) =>
      names.has(path.replace(/^node:/, '')) ? { path, namespace: 'builtin' } : undefined,
    );
    make.onLoad({ filter: /./, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)});`,
    }));
  },
};

/** zod's words in forty languages take a twentieth of the time to the first line; ours are English. */
const oneLanguage: Plugin = {
  name: 'one-language',
  setup(make) {
    make.onLoad({ filter: /\/zod\/v4\/locales\/index\.js$/ }, () => ({
      contents: "export { default as en } from './en.js';",
    }));
  },
};

/** Of ssh2 we are a client with keys of our own: its HTTPS agents alone load all of TLS, 5 ms. */
const sshClientOnly: Plugin = {
  name: 'ssh-client-only',
  setup(make) {
    make.onLoad({ filter: /\/ssh2\/lib\/(http-agents|server|keygen)\.js$/ }, () => ({
      contents: 'module.exports = {};',
    }));
  },
};

function packagesOf(files: readonly string[]): ReadonlySet<string> {
  return new Set(
    files.flatMap((file) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1] ?? []),
  );
}
