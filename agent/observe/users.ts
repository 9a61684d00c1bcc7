import { readFile } from 'node:fs/promises';

/** The name of a user of this host; `uid 1001` for one without. */
export async function userName(uid: number): Promise<string> {
  const passwd = await readFile('/etc/passwd', 'utf8').catch(() => '');
  for (const line of passwd.split('\n')) {
    const [name, , number] = line.split(':');
    if (name && number === String(uid)) return name;
  }
  return `uid ${uid}`;
}
