import { access, constants, lstat, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { checkConfig } from '../../haproxy/config/check.ts';
import { readConfig } from '../../haproxy/config/file.ts';
import { chrootOf } from '../../haproxy/config/read.ts';
import type { Finding } from '../../protocol/api.ts';
import { ZddError } from '../../protocol/errors.ts';
import type { Daemon } from '../daemon.ts';
import { error, notice, ok } from './finding.ts';

/** The file HAProxy reads and where it really stands; undefined when it is missing or forbidden. */
export async function readConfigFile({
  settings,
}: Daemon): Promise<{ path: string; text: string } | undefined> {
  const { config } = settings.current.haproxy;
  const text = await readConfig(config).catch(() => undefined);
  return text === undefined ? undefined : { path: await realpath(config), text };
}

/** Whether the agent can read, check and replace `haproxy.cfg`, and HAProxy reach the instances. */
export async function examineConfigFile(daemon: Daemon, signal: AbortSignal): Promise<Finding[]> {
  const { config } = daemon.settings.current.haproxy;
  const place = await examinePlace(config);
  const file = await readConfigFile(daemon);
  if (file === undefined) {
    if (place.length > 0) return place;
    return [
      error(
        'haproxy_config',
        `${config} is missing, or the agent may not read it`,
        `sudo chown zdd:haproxy $(readlink -f ${config}) && sudo chmod 640 $(readlink -f ${config})`,
        `ls -l ${config} ${config}.previous`,
      ),
    ];
  }
  return [
    ...place,
    ...(await verdict(daemon, file, signal)),
    ...chroot(daemon.settings.current.socketsDir, file.text),
  ];
}

/** The agent replaces the file by a rename, so it needs its folder; a link leads there. */
async function examinePlace(config: string): Promise<Finding[]> {
  const target = await realpath(config).catch(() => config);
  const folder = dirname(target);
  if (await mayWrite(folder)) return [];
  const own = join(dirname(config), 'zdd');
  const isLink = (await lstat(config).catch(() => null))?.isSymbolicLink() ?? false;
  if (!isLink && (await mayWrite(own))) {
    const name = basename(config);
    return [
      error(
        'haproxy_config_link',
        `${config} is no longer a link into ${own}, so the agent cannot replace it; an editor or sed -i may have put a file there`,
        `sudo install -o zdd -g haproxy -m 640 ${config} ${own}/${name} && sudo ln -sf zdd/${name} ${config}`,
      ),
    ];
  }
  return [
    error(
      'haproxy_config_folder',
      `the agent may not write ${folder}, where haproxy.cfg stands`,
      `sudo chown zdd:haproxy ${folder} && sudo chmod 2750 ${folder}`,
      `namei -l ${folder}`,
    ),
  ];
}

async function mayWrite(folder: string): Promise<boolean> {
  return await access(folder, constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  );
}

async function verdict(
  { settings }: Daemon,
  { path, text }: { path: string; text: string },
  signal: AbortSignal,
): Promise<Finding[]> {
  const { binary } = settings.current.haproxy;
  try {
    const checked = { target: path, text, before: text };
    const unreadable = await checkConfig(path, checked, binary, signal);
    if (unreadable.length === 0) return [ok('haproxy_config', `${path} passes haproxy -c`)];
    return [
      notice(
        'haproxy_config_unchecked',
        `the agent cannot check your part of haproxy.cfg: it may not read ${unreadable.join(', ')}; the managed region is right`,
        `sudo haproxy -c -f ${path}`,
      ),
    ];
  } catch (cause) {
    if (!(cause instanceof ZddError)) throw cause;
    return [error(cause.code, cause.message, ...cause.tries)];
  }
}

function chroot(socketsDir: string, text: string): Finding[] {
  const jail = chrootOf(text);
  if (jail === undefined || socketsDir.startsWith(`${jail}/`)) return [];
  return [
    error(
      'haproxy_chroot',
      `HAProxy sees only what is below ${jail} (chroot), and the instances' sockets are in ${socketsDir}`,
      `sudo sed -i 's#^sockets_dir:.*#sockets_dir: ${jail}/zdd#' /etc/zdd-agent/agent.yaml && sudo systemctl restart zdd-agentd`,
    ),
  ];
}
