import { stat } from 'node:fs/promises';
import type { HostSettings } from '../config/settings.ts';
import type { Identities, Identity, PassedOver } from './identity.ts';
import { readKeyFile } from './key-files.ts';
import type { AskPassphrase } from './passphrase.ts';
import { agentIdentities } from './ssh-agent.ts';

/**
 * The keys to offer to a host, in ssh's order: those of the agent that are configured, the other
 * ones of the agent (unless `IdentitiesOnly`), then the files that the agent does not have.
 */
export async function findIdentities(
  settings: HostSettings,
  ask: AskPassphrase,
  signal: AbortSignal,
): Promise<Identities> {
  const nobody: Identities = { usable: [], passedOver: [] };
  const agent =
    settings.identityAgent === null
      ? nobody
      : await agentIdentities(settings.identityAgent, signal);
  const passedOver: PassedOver[] = [];
  const configured = new Set<string>();
  const files: Identity[] = [];
  // One after another: each may have to ask.
  for (const path of settings.identityFiles) {
    const file = await readKeyFile(path, ask);
    switch (file.kind) {
      case 'identity':
        configured.add(file.identity.fingerprint);
        files.push(file.identity);
        break;
      case 'public':
        configured.add(file.fingerprint);
        break;
      case 'passed over':
        passedOver.push(file.passed);
        break;
      case 'missing':
        if (settings.identityFilesNamed) passedOver.push({ label: path, why: 'no such file' });
        break;
    }
    if (await exists(`${path}-cert.pub`)) {
      passedOver.push({ label: `${path}-cert.pub`, why: 'a certificate: use --ssh-command' });
    }
  }
  const inAgent = new Set(agent.usable.map((each) => each.fingerprint));
  const wanted = agent.usable.filter((each) => configured.has(each.fingerprint));
  const others = agent.usable.filter((each) => !configured.has(each.fingerprint));
  return {
    usable: [
      ...wanted,
      ...(settings.identitiesOnly ? [] : others),
      ...files.filter((each) => !inAgent.has(each.fingerprint)),
    ],
    passedOver: [...agent.passedOver, ...passedOver],
  };
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) !== null;
}
