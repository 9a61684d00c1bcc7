import { now } from '../../load/outcome.ts';
import { untilAnswers } from './stage.ts';
import type { RunningTool, Tool } from './tool.ts';

/** No tool at all: stop the app, start the new one on the same port. */
export const plainRestart: Tool = {
  name: 'plain restart',
  prepare: async () => {},

  async start(stage): Promise<RunningTool> {
    const port = await stage.freePort();
    const url = `http://127.0.0.1:${port}`;
    let app = await stage.startApp('v1', port);
    await untilAnswers(url, stage.signal);

    return {
      url,
      async switchTo(version) {
        const commandAt = now();
        await app.stop();
        app = await stage.startApp(version, port);
        const endedAt = now();
        return { release: version, beganAt: commandAt, commandAt, stopAt: endedAt, endedAt };
      },
      async [Symbol.asyncDispose]() {
        await app.stop();
      },
    };
  },
};
