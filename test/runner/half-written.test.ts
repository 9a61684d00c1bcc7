import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { StreamFile } from '../../agent/runner/process/output/stream-file.ts';

/** Writes three megabytes at once whenever it is told to, and says when it has. */
const WRITER = `
const text = ('x'.repeat(99) + '\\n').repeat(30_000) + 'END\\n';
process.on('message', () => {
  require('fs').writeSync(1, text);
  process.send('written');
});`;

let folder: string;
let file: StreamFile;
let writer: ChildProcess;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'zdd-output-'));
  file = new StreamFile(folder, 'out', 32 * 1_024);
  const out = file.openForAppending();
  writer = spawn(process.execPath, ['-e', WRITER], { stdio: ['ignore', out, 'inherit', 'ipc'] });
  closeSync(out);
});
afterEach(async () => {
  const gone = once(writer, 'exit');
  writer.kill('SIGKILL');
  await gone;
  rmSync(folder, { recursive: true });
});

test('a write that is half done when its file is cut is kept to its end', async () => {
  for (let round = 0; round < 200; round += 1) {
    const written = once(writer, 'message');
    writer.send('write');
    // Nothing is waited for asynchronously: it would be over by then.
    const deadline = performance.now() + 10_000;
    while ((file.stat()?.size ?? 0) === 0 && performance.now() < deadline);
    file.cut(() => {});
    await written;
    const kept = ['.1', ''].map((part) => readFileSync(`${file.path}${part}`, 'latin1')).join('');
    expect(kept.slice(-4), `round ${round}`).toBe('END\n');
    file.cut(() => {});
  }
});
