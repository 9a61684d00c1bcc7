import type { Limits } from '../runner.ts';

/**
 * Limits as `Property=value` words for `systemctl set-property`, and as lines of an active file.
 * Open files are not among them: a process gets that limit at its start, by `ulimit`.
 */
export function limitProperties(limits: Limits | undefined): readonly string[] {
  const { memory, cpu, tasks } = limits ?? {};
  return [
    // Without this the kernel would let it swap instead.
    ...(memory === undefined ? [] : [`MemoryMax=${memory}`, 'MemorySwapMax=0']),
    ...(cpu === undefined ? [] : [`CPUQuota=${cpu}%`]),
    ...(tasks === undefined ? [] : [`TasksMax=${tasks}`]),
  ];
}
