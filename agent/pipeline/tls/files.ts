import { readFile } from 'node:fs/promises';
import { ZddError } from '../../protocol/errors.ts';
import type { Host } from '../host.ts';
import { pause } from '../pause.ts';
import type { CertificateFile } from './books.ts';
import { addCertificate, change, oneAtATime } from './certificates.ts';
import { readPair } from './pem.ts';

/** How often the files of agent.yaml are looked at, ms. */
const LOOK_EVERY_MS = 3_000;

/**
 * Shows the certificates of the files that `agent.yaml` names, and takes each over again when whoever
 * renews it has written it anew. One that cannot be used changes nothing: the one before stays, also
 * over a restart, and `status` says why.
 */
export async function keepCertificateFiles(host: Host, signal: AbortSignal): Promise<void> {
  let seenWrong: ReadonlySet<string> = new Set();
  while (!signal.aborted) {
    const wrong = await lookAtFiles(host, signal);
    const { problems } = host.tls;
    problems.clear();
    // Two files are written one after the other: what does not fit is told when it stays so.
    for (const [path, error] of wrong) if (seenWrong.has(path)) problems.set(path, error);
    seenWrong = new Set(wrong.keys());
    await pause(LOOK_EVERY_MS, signal);
  }
}

/** @returns the files that cannot be used, and why */
async function lookAtFiles(
  host: Host,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, ZddError>> {
  const wrong = new Map<string, ZddError>();
  for (const file of host.tls.files()) {
    try {
      await takeFile(host, file, signal);
    } catch (cause) {
      signal.throwIfAborted();
      wrong.set(file.cert, unusable(file, cause));
    }
  }
  await forgetOthers(host).catch((error: unknown) => {
    host.log.error({ err: error }, 'a certificate cannot be taken away yet');
  });
  return wrong;
}

async function takeFile(
  host: Host,
  { cert, key }: CertificateFile,
  signal: AbortSignal,
): Promise<void> {
  const [certificate, keyText] = await Promise.all([
    readFile(cert, 'utf8'),
    key === undefined ? undefined : readFile(key, 'utf8'),
  ]);
  // What was pushed for the same names since wins until the file says something new.
  const { id } = readPair(certificate, keyText, host.now());
  const known = host.tls.certificates
    .list()
    .some((each) => each.id === id && each.origin === 'file' && each.source === cert);
  if (known) return;
  await addCertificate(host, { certificate, key: keyText, origin: 'file', source: cert }, signal);
}

/** Those whose file agent.yaml does not name any more. */
async function forgetOthers(host: Host): Promise<void> {
  const isLeft = ({ origin, source }: { origin: string; source: string }): boolean =>
    origin === 'file' && !host.tls.files().some(({ cert }) => cert === source);
  if (!host.tls.certificates.list().some(isLeft)) return;
  await oneAtATime(async () => {
    const before = host.tls.certificates.list();
    await change(
      host,
      before.filter((each) => !isLeft(each)),
    );
    for (const { names, notAfter, source } of before.filter(isLeft)) {
      host.journal.tell({
        type: 'certificate_changed',
        app: '',
        deployment: null,
        change: 'removed',
        names: [...names],
        origin: 'file',
        source,
        notAfter,
      });
    }
  });
}

function unusable({ cert, key }: CertificateFile, cause: unknown): ZddError {
  if (cause instanceof ZddError) return cause;
  const why = cause instanceof Error ? cause.message : String(cause);
  const paths = [cert, key].filter((path) => path !== undefined);
  return new ZddError('ZDD_CERT_INVALID', 'a file of agent.yaml cannot be read', {
    evidence: [['error', why]],
    tries: closed(cause, paths) ?? paths.map((path) => `namei -l ${path}`),
    cause,
  });
}

/** What opens a file, or a folder above it, that is closed to the agent's user. */
function closed(cause: unknown, paths: readonly string[]): readonly string[] | undefined {
  if (!(cause instanceof Error && 'code' in cause && cause.code === 'EACCES')) return undefined;
  const path = paths.find((each) => 'path' in cause && cause.path === each) ?? paths[0];
  return [
    // Not group zdd, in which is whoever may deploy.
    `sudo chgrp zdd-agent ${path} && sudo chmod 640 ${path}`,
    `namei -l ${path}        each folder above needs x for the agent's user`,
  ];
}
