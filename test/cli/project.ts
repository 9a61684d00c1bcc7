import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryFolder } from './run-cli.ts';
import { app, ZDD_YAML } from './samples.ts';
import { replies, type StandIn, standIn, takesArtifacts } from './stand-in.ts';

/** A project of the shop, and beside it an agent that knows the app and takes what is sent. */
export interface Project {
  readonly folder: Awaited<ReturnType<typeof temporaryFolder>>;
  /** The folder of its `zdd.yaml`. */
  readonly project: string;
  readonly agent: StandIn;
}

export async function openProject(): Promise<Project> {
  const folder = await temporaryFolder();
  const project = join(folder.path, 'project');
  await mkdir(project);
  await writeFile(join(project, 'zdd.yaml'), ZDD_YAML);
  await writeFile(join(project, 'server.js'), 'listen()\n');
  const agent = await standIn(join(folder.path, 'agent.sock'));
  agent.on(
    'GET /v1/status',
    replies({ schemaVersion: 1, agent: '0.1.0', apps: [], attention: [] }),
  );
  agent.on('GET /v1/apps/shop', replies(app()));
  agent.on('POST /v1/artifacts', takesArtifacts(agent));
  return { folder, project, agent };
}
