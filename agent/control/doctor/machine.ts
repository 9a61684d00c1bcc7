import { readFile, statfs } from 'node:fs/promises';
import { freemem, totalmem } from 'node:os';
import type { Finding } from '../../protocol/api.ts';
import { formatDuration } from '../../protocol/duration.ts';
import type { Daemon } from '../daemon.ts';
import { ask, error, notice, ok, warning } from './finding.ts';

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
/** A release of a Node app has tens of thousands of files. */
const FEW_INODES = 50_000;
const FEW_INODES_SHARE = 0.05;
const LITTLE_MEMORY_SHARE = 0.05;
const OWN_MEMORY_SHARE = 0.8;
/** NTP slews; only somebody's hand or a suspended machine moves the clock this far. */
const JUMP_MS = 30_000;

/** Realtime less monotonic time when the daemon began: it changes only when the clock is set. */
const clockAtStart = Date.now() - performance.now();

/** Disk, memory, clock, ports. */
export async function examineMachine(daemon: Daemon, signal: AbortSignal): Promise<Finding[]> {
  return [
    ...(await disk(daemon)),
    ...(await memory()),
    ...(await clock(signal)),
    ...(await ports(daemon)),
  ];
}

async function disk({ host }: Daemon): Promise<Finding[]> {
  const { stateDir } = host.layout;
  const { bavail, bsize, files, ffree } = await statfs(stateDir);
  const free = bavail * bsize;
  const what = `${(free / GIB).toFixed(1)} GiB and ${ffree.toLocaleString('en')} inodes free in ${stateDir}`;
  const findings: Finding[] = [];
  const { reserveBytes } = host.limits;
  if (free < reserveBytes) {
    const reserve = `${Math.round(reserveBytes / MIB)} MiB`;
    findings.push(
      error(
        'disk',
        `${Math.round(free / MIB)} MiB free in ${stateDir}, less than the reserve of ${reserve}: pushes are refused`,
        `df -h ${stateDir}`,
        'zdd-agent releases        smaller keep: in zdd.yaml keeps fewer',
        'sudo journalctl --vacuum-size=200M',
      ),
    );
  } else if (free < reserveBytes * 2) {
    findings.push(warning('disk', what, `df -h ${stateDir}`, 'zdd-agent releases'));
  }
  // Some file systems count no inodes.
  if (files > 0 && ffree < Math.max(FEW_INODES, files * FEW_INODES_SHARE)) {
    findings.push(
      warning(
        'inodes',
        `${ffree.toLocaleString('en')} of ${files.toLocaleString('en')} inodes free in ${stateDir}`,
        `sudo du --inodes -xd2 ${stateDir} | sort -n | tail`,
      ),
    );
  }
  return findings.length > 0 ? findings : [ok('disk', what)];
}

async function memory(): Promise<Finding[]> {
  const findings: Finding[] = [];
  const used = process.memoryUsage.rss();
  const limit = process.constrainedMemory();
  const limited = limit > 0 && limit < totalmem();
  if (limited && used > limit * OWN_MEMORY_SHARE) {
    findings.push(
      warning(
        'agent_memory',
        `the agent uses ${Math.round(used / MIB)} of the ${Math.round(limit / MIB)} MiB its unit allows`,
        'sudo systemctl restart zdd-agentd',
        'systemctl show -p MemoryMax,MemoryCurrent zdd-agentd',
      ),
    );
  }
  const free = await availableMemory();
  if (free < totalmem() * LITTLE_MEMORY_SHARE) {
    findings.push(
      warning(
        'memory',
        `${Math.round(free / MIB)} of ${Math.round(totalmem() / MIB)} MiB memory available`,
        'free -h',
        'systemd-cgtop -m -n 1',
      ),
    );
  }
  if (findings.length > 0) return findings;
  const own = limited ? ` of ${Math.round(limit / MIB)}` : '';
  return [
    ok(
      'memory',
      `${Math.round(free / MIB)} MiB available; the agent uses ${Math.round(used / MIB)}${own} MiB`,
    ),
  ];
}

/** What programs may still take: free memory is small on every healthy Linux. */
async function availableMemory(): Promise<number> {
  const text = await readFile('/proc/meminfo', 'utf8').catch(() => '');
  const kib = /^MemAvailable:\s+(\d+) kB/m.exec(text)?.[1];
  return kib === undefined ? freemem() : Number(kib) * 1024;
}

async function clock(signal: AbortSignal): Promise<Finding[]> {
  const findings: Finding[] = [];
  const moved = Date.now() - performance.now() - clockAtStart;
  if (Math.abs(moved) > JUMP_MS) {
    findings.push(
      warning(
        'clock_jump',
        `the clock was set ${formatDuration(Math.abs(moved))} ${moved > 0 ? 'forwards' : 'back'} since the agent started; times in events and receipts differ by that`,
        'timedatectl',
        'sudo systemctl restart zdd-agentd        ends this finding; no app is stopped by that',
      ),
    );
  }
  const { code, out } = await ask(
    'timedatectl',
    ['show', '--property=NTPSynchronized', '--value'],
    signal,
  );
  if (code === 0 && out === 'no') {
    findings.push(
      notice('clock', 'the clock is not synchronised by NTP', 'sudo timedatectl set-ntp true'),
    );
  }
  return findings.length > 0 || code !== 0 ? findings : [ok('clock', 'synchronised by NTP')];
}

/** The kernel takes ports for outgoing connections; one that an app is to listen on may be gone. */
async function ports({ settings }: Daemon): Promise<Finding[]> {
  const { from, to } = settings.current.ports;
  const [low = 0, high = 0] = await numbers('/proc/sys/net/ipv4/ip_local_port_range');
  const overlap = from <= high && to >= low;
  if (!overlap || (await isReserved(from, to))) {
    return [ok('ports', `ports ${from} to ${to} are the apps' alone`)];
  }
  return [
    warning(
      'ports_overlap',
      `ports ${from} to ${to} for listen: port overlap with ${low} to ${high}, from which the kernel takes ports for outgoing connections`,
      `sudo sysctl -w net.ipv4.ip_local_reserved_ports=${from}-${to}`,
      `echo net.ipv4.ip_local_reserved_ports=${from}-${to} | sudo tee /etc/sysctl.d/60-zdd-agent.conf`,
    ),
  ];
}

async function isReserved(from: number, to: number): Promise<boolean> {
  const text = await readFile('/proc/sys/net/ipv4/ip_local_reserved_ports', 'utf8').catch(() => '');
  return text
    .trim()
    .split(',')
    .some((range) => {
      const [low = 0, high = low] = range.split('-').map(Number);
      return low > 0 && low <= from && to <= high;
    });
}

async function numbers(path: string): Promise<number[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.trim().split(/\s+/).filter(Boolean).map(Number);
}
