import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Bench, BenchError, type BenchResult } from '../bench.ts';
import { type Cell, table } from '../table.ts';
import { configOf, edit, FILES, layOut } from './release.ts';
import { DESTINATION, openStage, type Stage, type Timed } from './stage.ts';

const ROUNDS = 5;
/** Short commands are measured more often. */
const SHORT_ROUNDS = 15;

/** One push of ours beside the same done by others. Times in ms. */
interface Pair {
  /** Until the agent has everything, durable on its disk. */
  readonly oursMs: number;
  /** Until it lies unpacked, as a release. */
  readonly unpackedMs: number;
  readonly oursBytes: number;
  readonly peerMs: number;
  readonly peerBytes: number;
}

/** What a push costs beside tar over ssh and rsync, over the same sshd. */
export const pushBench: Bench = {
  name: 'push',
  summary: 'time and bytes of a push, beside tar over ssh and rsync',
  flags: [`--rounds N     pushes of each kind (${ROUNDS})`],

  async run(args, { say, signal }): Promise<BenchResult> {
    const rounds = roundsOf(args);
    await using stage = await openStage(signal);
    const project = join(stage.folder, 'project');
    say(`laying out ${FILES} files`);
    await layOut(project);
    // The first run compiles what later ones find compiled, as on any laptop.
    await stage.cli(['status']);

    const first: Pair[] = [];
    const change: Pair[] = [];
    for (let round = 0; round < rounds; round += 1) {
      say(`round ${round + 1} of ${rounds}`);
      first.push(await firstPush(stage, project, round));
      change.push(await oneFile(stage, project, round));
    }
    say('short commands');
    const firstOutput: number[] = [];
    const status: number[] = [];
    for (let round = 0; round < SHORT_ROUNDS; round += 1) {
      firstOutput.push((await stage.cli(['push', '--dry-run'], { cwd: project })).firstMs);
      status.push((await stage.cli(['status'])).totalMs);
    }
    return resultOf(first, change, firstOutput, status);
  },
};

/** A release of which the host has nothing, and the same by `tar | ssh tar`. */
async function firstPush(stage: Stage, project: string, round: number): Promise<Pair> {
  const app = `bench-${round}`;
  await writeFile(join(project, 'zdd.yaml'), configOf(app));
  const copy = join(stage.folder, `tar-${round}`);
  await mkdir(copy);
  const ssh = stage.ssh(false).join(' ');
  const line = `tar -C ${project} -cf - . | ssh ${ssh} ${DESTINATION} tar -C ${copy} -xf -`;
  // Nobody waits for what was written before, or finds the room of files that have just been removed,
  // which the file system is slow to use again: the copies stay until the end.
  const settled = () => stage.run('sync', []);
  // Who goes first changes, so that nobody always finds the caches warm.
  const tar = async () => {
    await settled();
    return await stage.run('sh', ['-c', line]);
  };
  const ours = async () => {
    await settled();
    return await pushed(stage, app, project, false);
  };
  const [mine, peer] = round % 2 === 0 ? [await ours(), await tar()] : await reversed(tar, ours);
  return { ...mine, oursBytes: 0, peerMs: peer.totalMs, peerBytes: 0 };
}

/** One edit in a release that the host has, and the same by rsync into a copy that it has. */
async function oneFile(stage: Stage, project: string, round: number): Promise<Pair> {
  const app = `bench-${round}`;
  const copy = join(stage.folder, `rsync-${round}`);
  await cp(project, copy, { recursive: true, preserveTimestamps: true });
  await edit(project, round);
  const ssh = ['ssh', ...stage.ssh(true)].join(' ');
  const rsync = async () => {
    stage.relay.taken();
    const to = `${DESTINATION}:${copy}/`;
    const ran = await stage.run('rsync', ['-az', '--delete', '-e', ssh, `${project}/`, to]);
    return { ...ran, bytes: stage.relay.taken() };
  };
  const ours = async () => {
    stage.relay.taken();
    const ran = await pushed(stage, app, project, true);
    return { ...ran, bytes: stage.relay.taken() };
  };
  const [mine, peer] =
    round % 2 === 0 ? [await ours(), await rsync()] : await reversed(rsync, ours);
  await rm(copy, { recursive: true });
  const { oursMs, unpackedMs, bytes: oursBytes } = mine;
  return { oursMs, unpackedMs, oursBytes, peerMs: peer.totalMs, peerBytes: peer.bytes };
}

async function reversed<A, B>(first: () => Promise<A>, second: () => Promise<B>): Promise<[B, A]> {
  const a = await first();
  return [await second(), a];
}

async function pushed(stage: Stage, app: string, cwd: string, counted: boolean) {
  const ran = await stage.cli(['push', '--detach'], { cwd, counted });
  const deployment = (await stage.host.app(app))?.deployment?.id ?? (await lastOf(stage, app));
  const receipt = await stage.host.receipt(app, deployment);
  const unpack = receipt.steps.find(({ phase }) => phase === 'unpacking');
  if (receipt.outcome !== 'succeeded' || unpack === undefined) {
    throw new BenchError(`deployment #${deployment} of ${app} ended as ${receipt.outcome}`);
  }
  const oursMs = sentAt(ran);
  return { oursMs, unpackedMs: ran.totalMs + unpack.ms };
}

async function lastOf(stage: Stage, app: string): Promise<number> {
  const told = (await stage.host.events()).filter(
    (event) => event.type === 'deployment_started' && event.app === app,
  );
  return told.at(-1)?.deployment ?? 0;
}

/** When the line of the step `send` came, which is printed once the agent has confirmed it all. */
function sentAt({ lines }: Timed): number {
  const line = lines.find(({ text }) => /^ {2}send +/.test(text));
  if (line === undefined) throw new BenchError('the push said nothing of what it sent');
  return line.atMs;
}

function resultOf(
  first: readonly Pair[],
  change: readonly Pair[],
  firstOutput: readonly number[],
  status: readonly number[],
): BenchResult {
  const ratios = {
    firstPushTimeVsTarSsh: ratio(first, 'oursMs', 'peerMs'),
    firstPushUnpackedVsTarSsh: ratio(first, 'unpackedMs', 'peerMs'),
    oneFileBytesVsRsync: ratio(change, 'oursBytes', 'peerBytes'),
    oneFileTimeVsRsync: ratio(change, 'oursMs', 'peerMs'),
    oneFileUnpackedVsRsync: ratio(change, 'unpackedMs', 'peerMs'),
    firstOutputMs: rounded(median(firstOutput)),
    warmStatusMs: rounded(median(status)),
  };
  const row = (name: string, pairs: readonly Pair[], bytes: boolean): Cell[] => [
    name,
    middle(pairs, 'oursMs'),
    middle(pairs, 'unpackedMs'),
    middle(pairs, 'peerMs'),
    bytes ? middle(pairs, 'oursBytes') : null,
    bytes ? middle(pairs, 'peerBytes') : null,
  ];
  const head = ['push', 'ours ms', 'unpacked ms', 'peer ms', 'our bytes', 'peer bytes'];
  const machine = {
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.version,
  };
  return {
    text: [
      table(head, [
        row('first, beside tar over ssh', first, false),
        row('one file, beside rsync', change, true),
      ]),
      '',
      ...Object.entries(ratios).map(([name, value]) => `${name}: ${value}`),
    ].join('\n'),
    json: {
      schemaVersion: 1,
      ...ratios,
      rounds: { first, change, firstOutput, status },
      machine,
      at: new Date().toISOString(),
    },
  };
}

/** The median of the ratios of each round. */
function ratio(pairs: readonly Pair[], ours: keyof Pair, peer: keyof Pair): number {
  return Math.round(median(pairs.map((pair) => pair[ours] / pair[peer])) * 100) / 100;
}

function middle(pairs: readonly Pair[], key: keyof Pair): number {
  return Math.round(median(pairs.map((pair) => pair[key])));
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function rounded(ms: number): number {
  return Math.round(ms);
}

function roundsOf(args: readonly string[]): number {
  try {
    const { values } = parseArgs({ args: [...args], options: { rounds: { type: 'string' } } });
    const rounds = Number(values.rounds ?? ROUNDS);
    if (Number.isInteger(rounds) && rounds >= 1) return rounds;
    throw new BenchError(`--rounds: expected a whole number ≥ 1, got ${values.rounds}`);
  } catch (cause) {
    if (cause instanceof BenchError) throw cause;
    throw new BenchError(cause instanceof Error ? cause.message : String(cause));
  }
}
