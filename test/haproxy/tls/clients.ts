import { execFile } from 'node:child_process';
import { connect as connectHttp2 } from 'node:http2';
import { Agent, request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type TLSSocket } from 'node:tls';

const HERE = '127.0.0.1';

/** What a new handshake for a name is shown. */
export interface Shown {
  readonly names: string;
  /** Of the certificate, `AB:CD:...`. */
  readonly fingerprint: string;
  readonly protocol: string | null;
  readonly alpn: string | false | null;
}

/**
 * One fresh handshake that trusts only `ca`.
 * @returns the code of the error when there is no connection, or no trust
 */
export async function shake(
  port: number,
  name: string,
  ca: string,
  options: { readonly maxVersion?: 'TLSv1.1' | 'TLSv1.2' } = {},
  host = HERE,
): Promise<Shown | string> {
  const { promise, resolve } = Promise.withResolvers<Shown | string>();
  const socket: TLSSocket = connect({
    host,
    port,
    servername: name,
    ca,
    ALPNProtocols: ['h2', 'http/1.1'],
    ...options,
    ...(options.maxVersion === 'TLSv1.1' ? { minVersion: 'TLSv1', ciphers: 'ALL@SECLEVEL=0' } : {}),
  });
  socket.setTimeout(10_000, () => socket.destroy(new Error('timeout')));
  socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  socket.once('secureConnect', () => {
    const { subjectaltname = '', fingerprint } = socket.getPeerCertificate();
    resolve({
      names: subjectaltname.replaceAll('DNS:', ''),
      fingerprint,
      protocol: socket.getProtocol(),
      alpn: socket.alpnProtocol,
    });
  });
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}

/** Status, body and headers of one GET by HTTP/2 on a session of its own. */
export async function getHttp2(
  port: number,
  name: string,
  ca: string,
  path = '/',
  host = HERE,
): Promise<{ status: number; body: string; headers: Readonly<Record<string, unknown>> }> {
  const session = connectHttp2(`https://${name}:${port}`, {
    ca,
    lookup: (_host, options, done) =>
      options.all ? done(null, [{ address: host, family: 4 }]) : done(null, host, 4),
  });
  try {
    return await new Promise((resolve, reject) => {
      session.once('error', reject);
      const stream = session.request({ ':path': path, ':authority': name });
      let body = '';
      let headers: Record<string, unknown> = {};
      stream.setEncoding('utf8').on('data', (text: string) => {
        body += text;
      });
      stream.on('response', (found) => {
        headers = { ...found };
      });
      stream.on('error', reject);
      stream.on('end', () => resolve({ status: Number(headers[':status']), body, headers }));
    });
  } finally {
    session.close();
  }
}

/** A program's stdout, and its exit code. */
export function program(
  name: string,
  args: readonly string[],
): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    execFile(name, [...args], { timeout: 60_000, maxBuffer: 8 << 20 }, (error, out, err) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
      resolve({ code, out, err });
    });
  });
}

/** A bounded load over TLS that records each request and sends none again. */
export interface TlsLoad {
  readonly outcomes: readonly string[];
  /** Fingerprints shown to the handshakes, in the order in which they began. */
  readonly shown: readonly string[];
  stop(): Promise<readonly string[]>;
}

/** Half of the clients keep their connection, half shake hands for each request. */
export function startTlsLoad(
  port: number,
  name: string,
  ca: string,
  clients = 8,
  host = HERE,
): TlsLoad {
  const outcomes: string[] = [];
  const shown: string[] = [];
  let stopping = false;
  const agents: Agent[] = [];
  const running = Array.from({ length: clients }, async (_, client) => {
    const keepAlive = client % 2 === 0;
    const agent = new Agent({ keepAlive, maxSockets: 1, maxCachedSessions: 0 });
    agents.push(agent);
    while (!stopping) {
      outcomes.push(await one(agent));
      await sleep(3);
    }
  });
  function one(agent: Agent): Promise<string> {
    return new Promise((resolve) => {
      const sent = request(
        { host, port, servername: name, headers: { host: name }, ca, agent },
        (response) => {
          response.resume();
          response.on('error', (error) => resolve(`cut: ${error.message}`));
          response.on('end', () => resolve(response.complete ? `${response.statusCode}` : 'cut'));
        },
      );
      sent.on('socket', (socket) => {
        if (!('getPeerCertificate' in socket) || sent.reusedSocket) return;
        const tls = socket as TLSSocket;
        tls.once('secureConnect', () => shown.push(tls.getPeerCertificate().fingerprint));
      });
      sent.setTimeout(15_000, () => sent.destroy(new Error('timeout')));
      sent.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
      sent.end();
    });
  }
  return {
    outcomes,
    shown,
    async stop() {
      stopping = true;
      await Promise.all(running);
      for (const agent of agents) agent.destroy();
      return outcomes;
    },
  };
}
