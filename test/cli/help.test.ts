import { expect, test } from 'vitest';
import { COMMANDS } from '../../cli/registry.ts';
import { cli, tooWide } from './run-cli.ts';

test('the bare command is one screen with examples first and verbs in the order of a deploy', async () => {
  const { code, stdout, stderr } = await cli([]);
  expect(code).toBe(0);
  expect(stderr).toBe('');
  expect(stdout).toMatchInlineSnapshot(`
    "zdd-agent: deploys without a lost request

      zdd-agent push                 send this folder and make it live
      zdd-agent status               what serves now
      zdd-agent rollback             back to the release before
      zdd-agent logs -f              what the app prints

      init          look at a project and write its zdd.yaml
      config check  read zdd.yaml and list every problem; also show, schema
      push          send a folder or a tarball and make it live; also retry
      attach        watch a running deployment; also promote, pause, resume, abort
      rollback      go back to an earlier release
      restart       fresh instances of the live release; also scale, stop, start
      status        what serves, where traffic is, what needs attention; also drain
      releases      the releases on the host, newest first
      why           the receipt of a deployment: what happened, and why
      logs          what the instances print
      events        every change, one a line
      env set       keep variables of an app on the host; also unset, list, import
      exec          run a command in the live release; also console
      doctor        what is wrong with this host, and what mends it

    Also: contract, notify, lint, lock, unlock, maintenance, cert, audit, metrics
    Every verb: --app NAME  --host USER@HOST  -e ENVIRONMENT  --json  --help
    More: zdd-agent VERB --help      Completion by Tab: zdd-agent completion --help
    "
  `);
  expect(stdout.split('\n').length).toBeLessThan(30);
  expect(tooWide(stdout)).toEqual([]);
  expect((await cli(['--help'])).stdout).toBe(stdout);
});

test.each(COMMANDS)('$name has help of 80 columns that begins with its examples', async (verb) => {
  const { name, examples } = verb;
  const { code, stdout } = await cli([...name.split(' '), '--help']);
  expect(code).toBe(0);
  expect(stdout.startsWith(`Examples:\n  ${examples[0]?.[0]}`)).toBe(true);
  expect(stdout).toContain('Usage: zdd-agent');
  expect(tooWide(stdout)).toEqual([]);
  expect((await cli([...name.split(' '), '-h'])).stdout).toBe(stdout);
});

test('--version names the version', async () => {
  expect(await cli(['--version'])).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^zdd-agent \d+\.\d+\.\d+\n$/),
  });
});

test.each([
  [['pusj'], "unknown command 'pusj': did you mean push?", 'Try: zdd-agent push'],
  [['config', 'chekc'], "unknown command 'chekc': did you mean check?", 'zdd-agent config check'],
  [
    ['push', '--bak', '3s'],
    "unknown option '--bak': did you mean --bake?",
    'zdd-agent push --help',
  ],
  [['config'], 'config: which verb?', 'zdd-agent config --help'],
  [['status', 'a', 'b'], 'too many arguments', 'zdd-agent status --help'],
  [['push', '--bake', 'soon'], 'expected a duration such as 30s or 10m', 'zdd-agent push --help'],
  [['push', '--wait=later'], '--wait: expected a duration', 'zdd-agent push --help'],
  [['logs', '-n', 'many'], '--lines: expected a whole number', 'zdd-agent logs --help'],
  [['events', '--since', 'monday'], '--since: expected a time ago', 'zdd-agent events --help'],
  [
    ['scale', 'web'],
    'expected a process type and its number such as web=3',
    'zdd-agent scale web=3',
  ],
  [['scale', 'web=2', 'web=3'], 'web is named twice', 'zdd-agent scale --help'],
  [['scale', 'web=-1'], 'expected a process type and its number', 'zdd-agent scale --help'],
  [['scale'], 'missing required argument', 'zdd-agent scale --help'],
  [['why', 'last'], 'expected the number of a deployment', ''],
  [['status', '--app', ''], "argument '' is invalid", '--help'],
  [['push', 'no/such/folder'], 'there is nothing to push at no/such/folder', '--help'],
  [['push', '/dev/null'], '/dev/null is neither a folder nor a file', '--help'],
])('%j is a usage error that says what to type', async (args, message, tries) => {
  const { code, stdout, stderr } = await cli(args);
  expect(code).toBe(2);
  expect(stdout).toBe('');
  expect(stderr).toContain(message);
  expect(stderr).toContain('ZDD_USAGE');
  expect(stderr).toContain(tries);
  expect(tooWide(stderr)).toEqual([]);
});

test('a usage error with --json is the last line of stdout as well', async () => {
  const { code, stdout, stderr } = await cli(['push', '--jsno', '--json']);
  expect(code).toBe(2);
  expect(JSON.parse(stdout)).toEqual({
    error: expect.objectContaining({ code: 'ZDD_USAGE', tries: ['zdd-agent push --help'] }),
  });
  expect(stderr).toContain('Error: ');
});
