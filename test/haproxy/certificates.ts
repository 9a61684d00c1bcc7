import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A certificate in PEM, with its key and who issued it. */
export interface Issued {
  /** The certificate, then its intermediate. */
  readonly chain: string;
  readonly certificate: string;
  readonly key: string;
}

export interface Wish {
  readonly days?: number;
  /** As `openssl req -newkey` takes it. Default: EC P-256. */
  readonly newkey?: string;
}

/** A certification authority in a temporary folder: a root, an intermediate, and what it issues. */
export interface Authority {
  readonly folder: string;
  readonly root: string;
  readonly intermediate: string;
  issue(names: readonly string[], wish?: Wish): Promise<Issued>;
  /** Signed by itself. */
  selfSigned(names: readonly string[], wish?: Wish): Promise<Issued>;
  remove(): Promise<void>;
}

export async function authority(): Promise<Authority> {
  const folder = await mkdtemp(join(tmpdir(), 'zdd-ca-'));
  let serial = 0;

  async function make(
    subject: string,
    extension: string,
    issuer: string | undefined,
    { days = 90, newkey = 'ec' }: Wish,
  ): Promise<{ name: string; certificate: string; key: string }> {
    serial += 1;
    const name = join(folder, `c${serial}`);
    const curve = newkey === 'ec' ? ['-pkeyopt', 'ec_paramgen_curve:prime256v1'] : [];
    const key = ['-newkey', newkey, ...curve, '-noenc', '-keyout', `${name}.key`];
    const said = [
      '-subj',
      subject,
      '-addext',
      extension,
      '-addext',
      'keyUsage=critical,digitalSignature,keyCertSign',
    ];
    const by = issuer === undefined ? [] : ['-CA', `${issuer}.pem`, '-CAkey', `${issuer}.key`];
    const to = ['-days', String(days), '-out', `${name}.pem`];
    await run('openssl', ['req', '-x509', ...key, ...said, ...by, ...to]);
    const [certificate, text] = await Promise.all([
      readFile(`${name}.pem`, 'utf8'),
      readFile(`${name}.key`, 'utf8'),
    ]);
    return { name, certificate, key: text };
  }

  const root = await make('/CN=Test Root', 'basicConstraints=critical,CA:TRUE', undefined, {});
  const middle = await make('/CN=Test CA', 'basicConstraints=critical,CA:TRUE', root.name, {});
  const leaf = async (names: readonly string[], issuer: string | undefined, wish: Wish = {}) => {
    const alternatives = `subjectAltName=${names.map((name) => (name.startsWith('IP:') ? name : `DNS:${name}`)).join(',')}`;
    return await make(`/CN=${names[0]}`, alternatives, issuer, wish);
  };
  return {
    folder,
    root: root.certificate,
    intermediate: middle.certificate,
    async issue(names, wish) {
      const { certificate, key } = await leaf(names, middle.name, wish);
      return { certificate, key, chain: `${certificate}${middle.certificate}` };
    },
    async selfSigned(names, wish) {
      const { certificate, key } = await leaf(names, undefined, wish);
      return { certificate, key, chain: certificate };
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

/** Writes what the CLI reads. @returns the two paths */
export async function writePair(
  folder: string,
  name: string,
  { chain, key }: Issued,
): Promise<readonly [certificate: string, key: string]> {
  const paths = [join(folder, `${name}.pem`), join(folder, `${name}.key`)] as const;
  await writeFile(paths[0], chain);
  await writeFile(paths[1], key, { mode: 0o600 });
  return paths;
}
