import { z } from 'zod';
import type { Project } from '../project.ts';

/** What a Dockerfile alone gives away. */
export interface DockerfileHint {
  readonly file: string;
  /** The command of its last CMD or ENTRYPOINT, as a shell line; null when it has none. */
  readonly command: string | null;
}

/** A Dockerfile is no way to start anything here, but its last command is a good hint. */
export function readDockerfile(project: Project): DockerfileHint | null {
  const file = ['Dockerfile', 'Containerfile'].find((name) => project.files.includes(name));
  if (file === undefined) return null;
  const text = (project.read(file) ?? '').replaceAll(/\\\r?\n\s*/g, '');
  const last = (word: string) =>
    [...text.matchAll(new RegExp(`^\\s*${word}\\s+(.+)$`, 'gim'))].at(-1)?.[1]?.trim();
  const words = [last('ENTRYPOINT'), last('CMD')].flatMap((line) =>
    line === undefined ? [] : [lineOf(line)],
  );
  return { file, command: words.length === 0 ? null : words.join(' ') };
}

/** `["node", "server.js"]` and `node server.js` alike. */
function lineOf(text: string): string {
  if (!text.startsWith('[')) return text;
  try {
    const words = z.array(z.string()).safeParse(JSON.parse(text));
    return words.success ? words.data.join(' ') : text;
  } catch {
    return text;
  }
}
