import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { get } from 'node:https';
import { join } from 'node:path';
import { type Authority, writePair } from '../haproxy/certificates.ts';
import { freePort, until } from '../haproxy/harness.ts';

/** A real ACME server (Let's Encrypt's own for tests) with names that a test may point here or away. */
export interface AcmeServer {
  readonly directory: string;
  /** Whom it trusts: for NODE_EXTRA_CA_CERTS. */
  readonly ca: string;
  /** Names that lead to the host; others do not exist. */
  readonly names: Set<string>;
  /** The root of what it issues. */
  root(): Promise<string>;
  /** What it has said. */
  said(): string;
  stop(): Promise<void>;
}

/** Where a server and the host that asks it are: this machine unless a test says otherwise. */
export interface Places {
  /** Where it listens. */
  readonly own: string;
  /** Where its names lead. */
  readonly host: string;
}

const HERE: Places = { own: '127.0.0.1', host: '127.0.0.1' };

/**
 * @param httpPort where it asks for the answers, in place of 80
 * @param lifeS how long its certificates are valid, s
 */
export async function startAcmeServer(
  authority: Authority,
  httpPort: number,
  lifeS: number,
  { own, host }: Places = HERE,
): Promise<AcmeServer> {
  const names = new Set<string>();
  const dns = await startDns(names, host);
  const [port, management] = [await freePort(), await freePort()];
  const [chain, key] = await writePair(
    authority.folder,
    'pebble',
    await authority.issue(['localhost', 'IP:127.0.0.1', `IP:${own}`]),
  );
  const ca = join(authority.folder, 'pebble-ca.pem');
  await writeFile(ca, authority.root);
  const config = join(authority.folder, 'pebble.json');
  const pebble = {
    listenAddress: `${own}:${port}`,
    managementListenAddress: `${own}:${management}`,
    certificate: chain,
    privateKey: key,
    httpPort,
    tlsPort: await freePort(),
    ocspResponderURL: '',
    externalAccountBindingRequired: false,
    certificateValidityPeriod: lifeS,
  };
  await writeFile(config, JSON.stringify({ pebble }));
  const child = spawn(
    'pebble',
    ['-config', config, '-dnsserver', `127.0.0.1:${dns.address().port}`],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      // No waits between its steps; one of twenty nonces is refused, as clients must bear.
      env: { ...process.env, PEBBLE_VA_NOSLEEP: '1', PEBBLE_WFE_NONCEREJECT: '5' },
    },
  );
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
  }
  const failed = new Promise<never>((_resolve, reject) => child.once('error', reject));
  const fetched = (path: string, of: number): Promise<string> =>
    fetchText(`https://${own}:${of}${path}`, authority.root);
  await Promise.race([
    failed,
    until('pebble answers', () => {
      if (child.exitCode !== null) throw new Error(`pebble ended: ${said}`);
      return fetched('/dir', port).then(
        () => true,
        () => false,
      );
    }),
  ]);
  return {
    directory: `https://${own}:${port}/dir`,
    ca,
    names,
    root: () => fetched('/roots/0', management),
    said: () => said,
    stop: () => stop(child, dns),
  };
}

async function stop(child: ChildProcess, dns: Socket): Promise<void> {
  dns.close();
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

/** The smallest DNS server: known names lead to one address, others do not exist. */
async function startDns(names: ReadonlySet<string>, address: string): Promise<Socket> {
  const socket = createSocket('udp4');
  const bytes = address.split('.').map(Number);
  socket.on('message', (query, from) =>
    socket.send(answerTo(query, names, bytes), from.port, from.address),
  );
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return socket;
}

/** RFC 1035: the header, the question as it came, and one address. */
function answerTo(query: Buffer, names: ReadonlySet<string>, address: readonly number[]): Buffer {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.subarray(at + 1, at + 1 + length).toString('latin1'));
    at += length + 1;
  }
  const question = query.subarray(12, at + 5);
  const isKnown = names.has(labels.join('.').toLowerCase());
  const isAddress = question.readUInt16BE(question.length - 4) === 1;
  const header = Buffer.alloc(12);
  query.copy(header, 0, 0, 2);
  header.writeUInt16BE(isKnown ? 0x8580 : 0x8583, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(isKnown && isAddress ? 1 : 0, 6);
  // A pointer to the question's name, A, IN, no caching, four bytes.
  const answer = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, ...address]);
  return Buffer.concat([header, question, ...(isKnown && isAddress ? [answer] : [])]);
}

function fetchText(url: string, ca: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get(url, { ca, timeout: 5_000 }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece: string) => {
        text += piece;
      });
      response.on('end', () => resolve(text));
    }).on('error', reject);
  });
}

/** What stands in a map of ACME answers. */
export async function answersIn(folder: string): Promise<readonly string[]> {
  const text = await readFile(join(folder, 'zdd-acme.map'), 'utf8').catch(() => '');
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}
