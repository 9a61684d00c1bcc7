import { describe, expect, test } from 'vitest';
import { lastExits, newEnds, noteOf } from '../../../agent/runner/systemd/exits.ts';
import {
  isDown,
  isSteadyAgain,
  parseUnits,
  spanMs,
  statusOf,
  type UnitState,
} from '../../../agent/runner/systemd/unit-state.ts';

/** As systemd 252 prints two units; a third that it does not know. */
const SHOWN = `Id=zdd-app-shop@r1-d1-web-1.service
LoadState=loaded
ActiveState=activating
SubState=auto-restart
Result=exit-code
MainPID=0
NRestarts=2
ExecMainCode=1
ExecMainStatus=3
ExecMainStartTimestampMonotonic=1000000
ExecMainExitTimestampMonotonic=2000000
RestartUSec=300ms

MainPID=42
Result=success
NRestarts=1
ExecMainStartTimestampMonotonic=1000000
ExecMainExitTimestampMonotonic=0
ExecMainCode=0
ExecMainStatus=0
RestartUSec=300ms
RestartUSecNext=1min 30.5s
Id=zdd-app-shop@r1-d1-web-2.service
LoadState=loaded
ActiveState=active
SubState=running

Id=zdd-app-gone@r1-d1-web-1.service
LoadState=not-found
ActiveState=inactive
SubState=dead
`;

function unit(index: number): UnitState {
  const state = parseUnits(SHOWN)[index];
  if (state === undefined) throw new Error(`no unit ${index}`);
  return state;
}

describe('what systemctl show prints', () => {
  test('is read a unit at a time, in whatever order the properties come', () => {
    expect(parseUnits(SHOWN).map(({ unit: name, active }) => [name, active])).toEqual([
      ['zdd-app-shop@r1-d1-web-1.service', 'activating'],
      ['zdd-app-shop@r1-d1-web-2.service', 'active'],
      ['zdd-app-gone@r1-d1-web-1.service', 'inactive'],
    ]);
    expect(unit(1)).toMatchObject({ mainPid: 42, restartPauseMs: 90_500, exit: null });
    expect(isDown(unit(2))).toBe(true);
    expect(parseUnits('')).toEqual([]);
  });

  test('is the status of an instance', () => {
    expect(statusOf(unit(0), 5_000, 2_100_000)).toEqual({
      state: 'backing_off',
      restarts: 3,
      nextStartAt: 5_200,
      lastExit: { code: 3, signal: null },
    });
    expect(statusOf(unit(1), 0, 0)).toEqual({ state: 'running', pid: 42, restarts: 1 });
    expect(statusOf(unit(2), 0, 0)).toEqual({ state: 'stopped' });
  });

  test('is steady again a minute after its last end, where ends make the pause grow', () => {
    const grown = unit(1);
    expect(isSteadyAgain(grown, grown.startedAtUs + 60_000_000)).toBe(true);
    expect(isSteadyAgain(grown, grown.startedAtUs + 59_000_000)).toBe(false);
    expect(isSteadyAgain({ ...grown, isPauseGrown: false }, 900_000_000)).toBe(false);
    expect(isSteadyAgain(unit(0), 900_000_000)).toBe(false);
  });

  test('has time spans', () => {
    expect(['300ms', '1min 30s', '30s', '2h', '', 'infinity'].map(spanMs)).toEqual([
      300, 90_000, 30_000, 7_200_000, 0, 0,
    ]);
  });
});

describe('ends', () => {
  const UNSEEN = { code: null, signal: null };

  test('are counted when the process has ended, not when it is started again', () => {
    expect(newEnds(2, unit(0))).toBe(1);
    expect(newEnds(3, unit(0))).toBe(0);
    // systemd counts from 0 again after a start by hand.
    expect(newEnds(7, unit(1))).toBe(0);
  });

  test('are read off the notice that each leaves', () => {
    const note = (text: string, priority = 5) => noteOf({ text, priority });
    expect(note('zdd-agent: ended: exited 3 exit-code')).toEqual({ code: 3, signal: null });
    expect(note('zdd-agent: ended: killed TERM success')).toEqual({
      code: null,
      signal: 'SIGTERM',
    });
    expect(note('zdd-agent: ended: dumped SEGV core-dump')).toMatchObject({ signal: 'SIGSEGV' });
    expect(note('zdd-agent: ended: killed KILL oom-kill')).toEqual({
      code: null,
      signal: 'SIGKILL',
      outOfMemory: true,
    });
    expect(note('zdd-agent: ended:   resources')).toEqual(UNSEEN);
    expect(note('zdd-agent: ended: exited 3 exit-code', 6)).toBeNull();
    expect(note('listening')).toBeNull();
  });

  test('that left no notice are told all the same, the last one by what systemd still knows', () => {
    const one = { code: 1, signal: null };
    expect(lastExits(2, [one, one, one], unit(1))).toEqual([one, one]);
    expect(lastExits(3, [one], unit(1))).toEqual([UNSEEN, UNSEEN, one]);
    expect(lastExits(1, [], unit(0))).toEqual([{ code: 3, signal: null }]);
    expect(lastExits(1, [], unit(1))).toEqual([UNSEEN]);
  });
});
