import { appendFile, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** About 100 MB in 5,000 files, the same in each run. */
export const FILES = 5_000;
/** Every fifth is what does not compress: an image, a font, a compiled addon. */
const BINARY_EVERY = 5;
const TEXT_BYTES = 12_000;
const BINARY_BYTES = 52_000;

/** An app without traffic, so that nothing but the push takes time. */
export function configOf(app: string): string {
  return `app: ${app}\nprocesses:\n  worker:\n    run: sleep 600\n    alive: 100ms\nbake: 0s\nwarm: 0s\nkeep: 2\n`;
}

/** Lays the release out as a project with its dependencies is: many small files, deep folders. */
export async function layOut(folder: string): Promise<void> {
  const random = generator(20_261_127);
  for (let index = 0; index < FILES; index += 1) {
    const path = join(folder, pathOf(index));
    await mkdir(dirname(path), { recursive: true });
    const binary = index % BINARY_EVERY === 0;
    await writeFile(path, binary ? noise(random) : source(random, index));
  }
}

/** Changes one file, as one edit does. */
export async function edit(folder: string, round: number): Promise<void> {
  await appendFile(join(folder, pathOf(1)), `\n// edit ${round}\n`);
}

function pathOf(index: number): string {
  const end = index % BINARY_EVERY === 0 ? 'png' : 'js';
  return `node_modules/package-${index % 240}/lib/part-${index % 7}/module-${index}.${end}`;
}

function noise(random: () => number): Buffer {
  const bytes = Buffer.alloc(sizeAround(BINARY_BYTES, random));
  for (let at = 0; at + 4 <= bytes.length; at += 4) bytes.writeUInt32LE(random(), at);
  return bytes;
}

/** Compresses to about a quarter, as program text does. */
function source(random: () => number, index: number): string {
  const wanted = sizeAround(TEXT_BYTES, random);
  let text = `// module ${index}\n`;
  while (text.length < wanted) {
    const name = WORDS[random() % WORDS.length];
    const other = WORDS[random() % WORDS.length];
    text += `export function ${name}${random() % 1_000}(${other}) {\n  return ${other}.${name}(${random() % 97});\n}\n`;
  }
  return text;
}

const WORDS = ['request', 'answer', 'stream', 'buffer', 'handler', 'value', 'parse', 'render'];

function sizeAround(bytes: number, random: () => number): number {
  return Math.round(bytes / 2 + (random() / 2 ** 32) * bytes);
}

/** xorshift32: whole numbers below 2^32. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
}
