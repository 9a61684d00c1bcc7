import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { readConfig, targetOf, writeBeside } from '../config/file.ts';
import type { DesiredTls } from '../desired.ts';

/** The files of TLS beside `haproxy.cfg`. */
export interface TlsPlaces {
  /** Which certificate is shown for which names. */
  readonly list: string;
  /** Answers to an ACME server: token -> text. */
  readonly challenges: string;
  /** One PEM a certificate, named by its content. */
  readonly folder: string;
}

/** Where they stand. @param folder of `haproxy.cfg`, behind links */
export function tlsPlaces(folder: string): TlsPlaces {
  return {
    list: `${folder}/zdd-certs.list`,
    challenges: `${folder}/zdd-acme.map`,
    folder: `${folder}/zdd-certs`,
  };
}

/** The name of a certificate: equal content, equal name, so that a file never changes. */
export function certificateId(pem: string): string {
  return createHash('sha256').update(pem).digest('hex').slice(0, 16);
}

/** Where the certificate of this name stands. */
export function pemPath({ folder }: TlsPlaces, id: string): string {
  return `${folder}/${id}.pem`;
}

/** The list as a file. Equal content, equal bytes. */
export function listText(places: TlsPlaces, { certificates }: DesiredTls): string {
  const lines = certificates.map(({ id, names }) => `${pemPath(places, id)} ${names.join(' ')}\n`);
  return `# Certificates of zdd-agent and the names they are shown for, kept equal to those of the\n# running HAProxy. The files are named by their content.\n${lines.join('')}`;
}

/** The answers to an ACME server as a map file. */
export function challengesText({ challenges }: DesiredTls): string {
  const lines = [...challenges].map(([token, answer]) => `${token} ${answer}\n`);
  return `# Answers to an ACME server, while it asks for them.\n${lines.join('')}`;
}

/** What of the files is not as it should be, in words for people. */
export async function differingTlsFiles(
  folder: string,
  tls: DesiredTls,
): Promise<readonly string[]> {
  const places = tlsPlaces(folder);
  const said: string[] = [];
  const wrong = 'not what the agent wrote';
  for (const { id, names } of tls.certificates) {
    if (!(await isWhole(places, id))) said.push(`certificate ${names[0]}: its file is ${wrong}`);
  }
  for (const [path, text] of textsOf(places, tls)) {
    if ((await readConfig(path)) !== text) said.push(`${basename(path)}: ${wrong}`);
  }
  return said;
}

/**
 * Makes the files say `tls`: first the certificates, then what names them.
 * @param mode of what holds a key
 * @returns whether one of them had said something else
 * @throws ZDD_HAPROXY_CONFIG_INVALID when they may not be written
 */
export async function writeTlsFiles(
  config: string,
  tls: DesiredTls,
  mode: number,
): Promise<boolean> {
  const places = tlsPlaces(dirname(await targetOf(config)));
  // In a folder that hands its group on (setgid), this one does too.
  await mkdir(places.folder, { mode: 0o750, recursive: true });
  let changed = false;
  for (const { id, pem } of tls.certificates) {
    if (await isWhole(places, id)) continue;
    await writeBeside(config, pemPath(places, id), pem, mode);
    changed = true;
  }
  for (const [path, text] of textsOf(places, tls)) {
    if ((await readConfig(path)) === text) continue;
    await writeBeside(config, path, text, mode);
    changed = true;
  }
  return changed;
}

/** Removes the certificates that nobody names any more; without TLS everything. */
export async function sweepTlsFiles(folder: string, tls: DesiredTls | undefined): Promise<void> {
  const places = tlsPlaces(folder);
  if (tls === undefined) {
    for (const path of [places.list, places.challenges]) await rm(path, { force: true });
    await rm(places.folder, { recursive: true, force: true });
    return;
  }
  const wanted = new Set(tls.certificates.map(({ id }) => `${id}.pem`));
  const found = await readdir(places.folder).catch(() => []);
  for (const name of found) {
    if (!wanted.has(name)) await rm(join(places.folder, name), { force: true });
  }
}

/** Whether a certificate stands there as it came: its name says what it must be. */
async function isWhole(places: TlsPlaces, id: string): Promise<boolean> {
  const pem = await readFile(pemPath(places, id), 'utf8').catch(() => '');
  return certificateId(pem) === id;
}

function textsOf(places: TlsPlaces, tls: DesiredTls): ReadonlyArray<readonly [string, string]> {
  return [
    [places.challenges, challengesText(tls)],
    [places.list, listText(places, tls)],
  ];
}
