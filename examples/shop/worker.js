import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { instance, ledgerFolder, release } from './settings.js';

const BEAT_MS = 500;

/** A worker that must never run twice: it writes down whom it met. */
function start(folder) {
  const present = join(folder, 'workers');
  mkdirSync(present, { recursive: true });
  // First make oneself seen, then look: of two that start together at least one sees the other.
  writeFileSync(join(present, String(process.pid)), `${release} ${instance}\n`);
  for (const other of readdirSync(present).filter((pid) => Number(pid) !== process.pid)) {
    if (isWorker(other)) log(folder, 'overlaps.log', `${release} ${instance} met ${other}`);
    else rmSync(join(present, other), { force: true });
  }
  log(folder, 'worker.log', `start ${release} ${instance} ${process.pid}`);
  beat(folder);
  setInterval(() => beat(folder), BEAT_MS);
  return () => {
    rmSync(join(present, String(process.pid)), { force: true });
    log(folder, 'worker.log', `stop ${release} ${instance} ${process.pid}`);
  };
}

function beat(folder) {
  writeFileSync(join(folder, 'heartbeat'), `${Date.now()} ${release} ${instance}\n`);
}

function log(folder, file, text) {
  appendFileSync(join(folder, file), `${Date.now()} ${text}\n`);
}

function isWorker(pid) {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('worker.js');
  } catch {
    return false;
  }
}

let leave = () => {};
function stop() {
  leave();
  process.exit(0);
}
process.on('SIGTERM', stop);
process.on('SIGINT', stop);

if (ledgerFolder === undefined) setInterval(() => {}, BEAT_MS);
else leave = start(ledgerFolder);
console.log(`worker runs, release ${release}, instance ${instance}`);
