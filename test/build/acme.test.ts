import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { bundle } from '../../build/bundle.ts';
import { output, ROOT } from './package.ts';

test('the ACME client works in a bundle, where there are no packages: decorators and all', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'zdd-bundle-'));
  try {
    const { code } = await bundle(ROOT, 'test/build/acme-entry.ts');
    const program = join(folder, 'program.mjs');
    await writeFile(program, code);
    const ran = await output(process.execPath, [program], { cwd: folder });
    expect(ran).toMatchObject({ code: 0, stdout: 'shop.example.com function function\n' });
  } finally {
    await rm(folder, { recursive: true });
  }
});
