import { parseArgs } from 'node:util';
import { Play } from './acts.ts';
import { PrivateHost } from './private-host.ts';
import { composeDemoReceipt, printDemoReceipt } from './receipt.ts';

const HELP = `npm run demo: deploys an example app six times while traffic runs, and counts what is lost

  npm run demo                 the play, then the receipt
  npm run demo -- --json       the receipt as one JSON object on the last line of stdout
  npm run demo -- --keep       leaves HAProxy, agent and app running, and says how to play with them
  npm run demo -- --end DIR    ends what --keep has left running, and removes its folder
`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      end: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  if (values.end !== undefined) {
    await PrivateHost.removeAt(values.end.replace(/\/+$/, ''));
    return 0;
  }
  const out = values.json ? process.stderr : process.stdout;
  const say = (text: string): void => void out.write(`${text}\n`);
  const host = await PrivateHost.start();
  say(`a private HAProxy and zdd-agentd run in ${host.dir}; the app answers on ${host.url}`);
  const play = new Play(host, say);
  let kept = false;
  try {
    await play.run();
    const events = await host.events();
    const report = await play.load.stop();
    const receipt = await composeDemoReceipt(play.load, report, play.played, events);
    say(printDemoReceipt(receipt));
    for (const loss of report.losses.slice(0, 20)) say(`  lost: ${JSON.stringify(loss)}`);
    for (const cut of report.websockets.cuts.slice(0, 5)) say(`  cut: ${JSON.stringify(cut)}`);
    if (values.keep) {
      kept = true;
      say(howToPlay(host));
    }
    if (values.json) process.stdout.write(`${JSON.stringify(receipt)}\n`);
    return receipt.ok ? 0 : 1;
  } finally {
    if (!kept) await host.remove();
  }
}

function howToPlay(host: PrivateHost): string {
  return `Everything runs on. Play with it:
  export ZDD_SOCKET_PATH=${host.socket}
  curl -i ${host.url}/
  bin/zdd-agent status
  bin/zdd-agent push ${host.dir}/artifacts/shop-v1.tar.gz --bake 5s
  bin/zdd-agent rollback --app shop
  bin/zdd-agent events -f
And when you are done:
  npm run demo -- --end ${host.dir}`;
}

process.exitCode = await main();
