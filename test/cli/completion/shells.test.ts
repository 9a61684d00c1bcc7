import { spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { COMMANDS } from '../../../cli/registry.ts';
import { cli, environment, type Ran, temporaryFolder, until, watchChild } from '../run-cli.ts';
import { app, R41, R42 } from '../samples.ts';
import { replies, type StandIn, standIn } from '../stand-in.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let agent: StandIn;
let project: string;

beforeAll(async () => {
  folder = await temporaryFolder();
  agent = await standIn(join(folder.path, 'agent.sock'));
  project = join(folder.path, 'project');
  await mkdir(join(project, 'my folder'), { recursive: true });
  await writeFile(
    join(project, 'zdd.yaml'),
    'app: shop\nenvironments: { production: { hosts: [a] } }\nprocesses: { web: {}, worker: 7 }\n',
  );
  await writeFile(join(project, 'shop.tar.gz'), '');
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { code, stdout } = await cli(['completion', shell]);
    expect(code).toBe(0);
    await writeFile(join(folder.path, `script.${shell}`), stdout);
  }
});
beforeAll(keepAnswers);
afterAll(async () => {
  await agent.close();
  await folder.remove();
});
beforeEach(answerAll);
function answerAll(): void {
  agent.on(
    'GET /v1/status',
    replies({
      schemaVersion: 1,
      agent: '0.1.0',
      apps: [app(), app({ app: 'admin' })],
      attention: [],
    }),
  );
  const release = { createdAt: 0, bytes: 1, files: 1, state: 'good', source: '' };
  agent.on(
    'GET /v1/apps/shop/releases',
    replies({
      schemaVersion: 1,
      app: 'shop',
      releases: [
        { ...release, release: R42 },
        { ...release, release: R41 },
      ],
    }),
  );
}

/**
 * What the scripts ask is told by the real CLI, once it has an answer: on a busy machine that may be
 * later than a person with a finger on Tab would wait. The shells find a `zdd-agent` that repeats it.
 */
async function keepAnswers(): Promise<void> {
  answerAll();
  const bin = join(folder.path, 'bin');
  await mkdir(bin, { recursive: true });
  for (const what of ['apps', 'releases', 'processes', 'scales', 'environments']) {
    let said = '';
    await until(
      async () => {
        said = (await cli(['complete', what], { cwd: project, socket: agent.socket })).stdout;
        return said !== '';
      },
      () => `an answer about ${what}`,
    );
    await writeFile(join(bin, `${what}.txt`), said);
  }
  await writeFile(
    join(bin, 'zdd-agent'),
    '#!/bin/sh\n[ "$1" = complete ] && exec cat "$(dirname "$0")/$2.txt"\n',
    { mode: 0o755 },
  );
}

/** Runs a shell in the project, with that CLI on its PATH. */
function shell(program: string, args: readonly string[]): Promise<Ran> {
  const env = environment({ socket: agent.socket });
  const child = spawn(program, args, {
    cwd: project,
    env: {
      ...env,
      PATH: `${join(folder.path, 'bin')}:${env['PATH']}`,
      HOME: folder.path,
      TERM: 'xterm',
      COLUMNS: '80',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return watchChild(child, program).ended();
}

/** What each shell offers for a line, the words only, sorted. */
const SHELLS: Readonly<Record<string, (line: string) => Promise<string[]>>> = {
  async bash(line) {
    const words = line.split(' ').map((word) => `'${word}'`);
    const { stdout, stderr } = await shell('bash', [
      '--noprofile',
      '--norc',
      '-c',
      `source ../script.bash
       complete -p zdd-agent >/dev/null || exit
       COMP_WORDS=(${words.join(' ')}) COMP_CWORD=${words.length - 1} COMPREPLY=()
       _zdd_agent
       printf '%s\\n' "\${COMPREPLY[@]}"`,
    ]);
    expect(stderr).toBe('');
    return sorted(stdout);
  },
  async zsh(line) {
    // The completion system needs a terminal; zpty is zsh's own. Tab offers, Ctrl-U clears.
    const { stdout } = await shell('zsh', [
      '-f',
      '-c',
      `zmodload zsh/zpty
       zpty completing zsh -f -i
       zpty -w completing "unset zle_bracketed_paste; autoload -Uz compinit; compinit -u -D
         source ../script.zsh
         LISTMAX=1000; setopt no_always_last_prompt no_auto_menu list_ambiguous no_beep
         compadd() { builtin compadd -O offered \\"\\$@\\"; print -rl -- \\$offered >> ../offered; builtin compadd \\"\\$@\\" }
         PS1='typ''e: '"
       # With its prompt it has taken the terminal over: what was typed earlier would not reach it.
       zpty -r completing said '*type: *'
       : > ../offered
       zpty -w -n completing ${quote(line)}$'\\t\\025print -r done\\n'
       zpty -r completing said $'*\\ndone\\r\\n*'
       zpty -d completing
       cat ../offered`,
    ]);
    return sorted(stdout);
  },
  async fish(line) {
    const { stdout, stderr } = await shell('fish', [
      '--no-config',
      '-c',
      `source ../script.fish; complete -C ${quote(line)}`,
    ]);
    expect(stderr).toBe('');
    return sorted(stdout.replaceAll(/\t.*$/gm, ''));
  },
};

function quote(text: string): string {
  return `'${text}'`;
}

function sorted(text: string): string[] {
  return [...new Set(text.split('\n').map((word) => word.trim()))].filter(Boolean).sort();
}

const VERBS = COMMANDS.filter(({ name }) => name !== 'complete').map(({ name }) => name);

test.each(Object.keys(SHELLS))('%s completes every verb of the registry', async (name) => {
  const offered = await SHELLS[name]?.('zdd-agent ');
  expect(offered).toEqual([...new Set(VERBS.map((verb) => verb.split(' ')[0]))].sort());
});

test.each(Object.keys(SHELLS))(
  '%s completes verbs of a group, options and values',
  async (name) => {
    const offers = async (line: string) => await SHELLS[name]?.(line);
    expect(await offers('zdd-agent config s')).toEqual(['schema', 'show']);
    expect(await offers('zdd-agent --app shop pus')).toEqual(['push']);
    expect(await offers('zdd-agent push --det')).toEqual(['--detach']);
    expect(await offers('zdd-agent status --det')).toEqual([]);
    expect(await offers('zdd-agent logs --js')).toEqual(['--json']);
    expect(await offers('zdd-agent config show --or')).toEqual(['--origin']);
    expect(await offers('zdd-agent completion ')).toEqual(['bash', 'fish', 'zsh']);
    expect(await offers('zdd-agent push shop.t')).toEqual(['shop.tar.gz']);
  },
);

test.each(Object.keys(SHELLS))('%s asks for apps, releases and process types', async (name) => {
  const offers = async (line: string) => await SHELLS[name]?.(line);
  expect(await offers('zdd-agent status --app ')).toEqual(['admin', 'shop']);
  expect(await offers('zdd-agent rollback r4')).toEqual([R41, R42]);
  expect(await offers('zdd-agent logs --process w')).toEqual(['web', 'worker']);
  expect(await offers('zdd-agent restart w')).toEqual(['web', 'worker']);
  expect(await offers('zdd-agent restart web wo')).toEqual(['worker']);
  expect(await offers('zdd-agent scale w')).toEqual(['web=', 'worker=']);
  const more = name === 'bash' ? 'web = 3 wo' : 'web=3 wo';
  expect(await offers(`zdd-agent scale ${more}`)).toEqual(['worker=']);
  // The value of an option is no argument: this is still the first one.
  expect(await offers('zdd-agent --app x rollback r42')).toEqual([R42]);
});

test('bash takes a value behind = for what it is, and a path with a space for one word', async () => {
  expect(await SHELLS['bash']?.('zdd-agent push --wait = 10m shop')).toEqual(['shop.tar.gz']);
  expect(await SHELLS['bash']?.('zdd-agent push my')).toEqual(['my folder']);
});

test('every option that every verb takes is completed', async () => {
  const { stdout } = await cli(['status', '--help']);
  const [, everywhere = ''] = stdout.split('Global Options:');
  const named = [...everywhere.matchAll(/^ +(?:-\w, )?(--[a-z-]+)/gm)];
  const offered = await SHELLS['bash']?.('zdd-agent status --');
  expect(named.length).toBeGreaterThan(4);
  for (const [, option] of named) expect(offered).toContain(option);
});

test('complete says nothing and ends with 0 when there is no agent, no zdd.yaml, no such thing', async () => {
  const silent = { code: 0, stdout: '', stderr: '' };
  for (const what of ['apps', 'releases', 'processes', 'environments', 'nonsense']) {
    const nowhere = { cwd: folder.path, socket: join(folder.path, 'no.sock') };
    expect(await cli(['complete', what], nowhere)).toEqual(silent);
  }
  expect(await cli(['complete', 'environments'], { cwd: project })).toMatchObject({
    code: 0,
    stdout: 'production\n',
  });
});

test('complete does not wait for an agent that is slow', async () => {
  agent.on('GET /v1/status', (request, response, url) => {
    // Would be an answer, if anybody waited for it.
    const late = setTimeout(
      () =>
        replies({ schemaVersion: 1, agent: '', apps: [app()], attention: [] })(
          request,
          response,
          url,
        ),
      5_000,
    );
    response.on('close', () => clearTimeout(late));
  });
  expect(await cli(['complete', 'apps'], { socket: agent.socket })).toEqual({
    code: 0,
    stdout: '',
    stderr: '',
  });
});

test('what could mean more than a word to a shell is never offered', async () => {
  await writeFile(
    join(folder.path, 'zdd.yaml'),
    'processes: { "$(touch owned)": 1, "`x`": 1, "-rf": 1, "a b": 1, fine: 1 }\n',
  );
  const { stdout } = await cli(['complete', 'processes'], { cwd: folder.path });
  expect(stdout).toBe('fine\n');
});

test('an unknown shell is a usage error that names the known ones', async () => {
  const { code, stdout, stderr } = await cli(['completion', 'powershell']);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toContain('expected bash, zsh or fish, got "powershell"');
});
