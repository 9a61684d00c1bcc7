import { describe, expect, it } from 'vitest';
import {
  capabilitiesOf,
  capabilityWords,
  requireVersion,
} from '../../agent/haproxy/capabilities.ts';
import { parseProcesses } from '../../agent/haproxy/tables.ts';

describe('what a HAProxy can do, by its version', () => {
  it('is the same for 2.6 as for the agent without the table', () => {
    expect(capabilitiesOf('2.6.12-1+deb12u4')).toEqual(new Set());
    expect(capabilityWords('2.6.12-1+deb12u4')).toEqual([]);
  });

  it('grows with the version, whose parts are numbers and not text', () => {
    expect(capabilitiesOf('2.8.10-1ubuntu1')).toEqual(new Set(['reload_answers']));
    expect(capabilitiesOf('3.0.11-1+deb13u4')).toContain('wait_removable');
    expect(capabilitiesOf('3.0.11-1+deb13u4')).not.toContain('log_profiles');
    expect(capabilitiesOf('3.10.0')).toContain('log_profiles');
    expect(capabilitiesOf('3.5-dev2')).toContain('log_profiles');
  });

  it.each(['2.4.22-0', '2.5.14', '1.8.30', 'unknown'])('refuses %s', (version) => {
    expect(() => requireVersion(version)).toThrow(
      expect.objectContaining({ code: 'ZDD_HAPROXY_TOO_OLD', evidence: [['found', version]] }),
    );
  });
});

describe('the process table after a reload that failed', () => {
  it('of 3.2 has the worker that serves on among the old ones, the youngest of them', () => {
    const text = `#<PID>          <type>          <reloads>       <uptime>        <version>
10828           master          2 [failed: 1]   0d00h00m03s     3.2.26-1
# workers
# old workers
10601           worker          2               0d00h00m09s     3.2.26-1
10874           worker          1               0d00h00m02s     3.2.26-1
`;
    expect(parseProcesses(text)).toMatchObject({
      failed: 1,
      current: { pid: 10874 },
      old: [{ pid: 10601 }],
    });
  });

  it('of 3.2 has no current worker while there is none, unless a reload has failed', () => {
    const text = `10828           master          2 [failed: 0]   0d00h00m03s     3.2.26-1
# workers
# old workers
10874           worker          1               0d00h00m02s     3.2.26-1
`;
    expect(parseProcesses(text).current).toBeUndefined();
  });
});
