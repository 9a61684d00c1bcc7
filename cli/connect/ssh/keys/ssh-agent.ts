import { connect } from 'node:net';
import ssh2, { type ParsedKey, type SigningRequestOptions } from 'ssh2';
import { fingerprint, typeOf } from '../host-keys/known-hosts.ts';
import type { Identities, Identity, PassedOver } from './identity.ts';

// https://datatracker.ietf.org/doc/html/draft-ietf-sshm-ssh-agent, 6.1
const REQUEST_IDENTITIES = 11;
const IDENTITIES_ANSWER = 12;
/** An agent answers at once: what it may have to ask its user about is signing. */
const LIST_MS = 5_000;
/** More than an agent with very many keys would send, bytes. */
const LONGEST_ANSWER = 1024 * 1024;

/** The keys an ssh-agent has. One that does not answer has none, and that is said later. */
export async function agentIdentities(socket: string, signal: AbortSignal): Promise<Identities> {
  const usable: Identity[] = [];
  const passedOver: PassedOver[] = [];
  let keys: ListedKey[];
  try {
    keys = await listKeys(socket, AbortSignal.any([signal, AbortSignal.timeout(LIST_MS)]));
  } catch (cause) {
    signal.throwIfAborted();
    const why = cause instanceof Error ? cause.message : String(cause);
    return { usable, passedOver: [{ label: `ssh-agent at ${socket}`, why }] };
  }
  const agent = ssh2.createAgent(socket);
  for (const { blob, comment } of keys) {
    const type = typeOf(blob);
    const parsed = ssh2.utils.parseKey(blob);
    const print = fingerprint(blob);
    if (parsed instanceof Error) {
      passedOver.push({ label: `${comment || type} ${print}`, why: whyNot(type) });
      continue;
    }
    usable.push({
      label: comment || type,
      origin: 'agent',
      type,
      fingerprint: print,
      publicKey: parsed,
      sign: (data, hash) => signWith(agent, parsed, data, hash),
    });
  }
  return { usable, passedOver };
}

/** Why a kind of key cannot be used without the system's ssh. */
export function whyNot(type: string): string {
  if (type.startsWith('sk-')) return 'a FIDO key: use --ssh-command';
  if (type.includes('-cert-')) return 'a certificate: use --ssh-command';
  return `a key of type ${type || 'unknown'}: use --ssh-command`;
}

function signWith(
  agent: ReturnType<typeof ssh2.createAgent>,
  key: ParsedKey,
  data: Buffer,
  hash: string | undefined,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    agent.sign(key, data, flagsFor(hash), (error, signature) => {
      if (signature) resolve(Buffer.from(signature));
      else reject(error ?? new Error('the ssh-agent did not sign'));
    });
  });
}

function flagsFor(hash: string | undefined): SigningRequestOptions {
  return hash === 'sha256' || hash === 'sha512' ? { hash } : {};
}

interface ListedKey {
  readonly blob: Buffer;
  readonly comment: string;
}

async function listKeys(path: string, signal: AbortSignal): Promise<ListedKey[]> {
  const socket = connect(path);
  const stop = () => socket.destroy(new Error('it does not answer'));
  signal.addEventListener('abort', stop, { once: true });
  try {
    socket.write(Buffer.from([0, 0, 0, 1, REQUEST_IDENTITIES]));
    let answer = Buffer.alloc(0);
    for await (const chunk of socket) {
      answer = Buffer.concat([answer, chunk]);
      if (answer.length > LONGEST_ANSWER) break;
      if (answer.length >= 4 && answer.length >= 4 + answer.readUInt32BE(0)) break;
    }
    return readAnswer(answer);
  } finally {
    signal.removeEventListener('abort', stop);
    socket.destroy();
  }
}

function readAnswer(answer: Buffer): ListedKey[] {
  if (answer.length < 9 || answer[4] !== IDENTITIES_ANSWER) throw new Error('it refused to answer');
  const keys: ListedKey[] = [];
  let at = 9;
  const next = () => {
    const end = at + 4 + answer.readUInt32BE(at);
    const part = answer.subarray(at + 4, end);
    at = end;
    return part;
  };
  for (let left = answer.readUInt32BE(5); left > 0 && at < answer.length; left -= 1) {
    const blob = next();
    keys.push({ blob, comment: next().toString('utf8') });
  }
  return keys;
}
