import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import type { AppConfig } from '../../protocol/app-config.ts';
import { ZddError } from '../../protocol/errors.ts';
import { parseAppConfig } from '../../protocol/zdd-yaml.ts';
import { readAppConfig } from '../../store/artifact/artifacts.ts';
import { errnoOf } from '../../store/atomic-file.ts';
import type { Host } from '../host.ts';

const MAX_CHARACTERS = 64 * 1024;

/** The configuration a release is deployed with on this host. */
export interface EffectiveConfig {
  /** As YAML, to be kept with the release. */
  readonly text: string;
  readonly config: AppConfig;
  /** The file of this host that has changed something; null when there is none. */
  readonly overriddenBy: string | null;
}

/**
 * The `zdd.yaml` of an artifact, with what `apps/<app>.yaml` beside `agent.yaml` fixes or overrides:
 * maps are merged key by key, anything else replaces, null removes.
 * @throws ZDD_CONFIG_*, ZDD_ARTIFACT_*; ZDD_AGENT_CONFIG_INVALID when only the host's file is wrong
 */
export async function effectiveConfig(host: Host, artifactPath: string): Promise<EffectiveConfig> {
  return await overridden(host, await readAppConfig(artifactPath));
}

/** The same for a `zdd.yaml` that is no part of an artifact yet. @throws ZDD_AGENT_CONFIG_INVALID */
export async function overridden(
  { configDir }: Host,
  { text, config }: { readonly text: string; readonly config: AppConfig },
): Promise<EffectiveConfig> {
  const file = join(configDir, 'apps', `${config.app}.yaml`);
  const overrides = await readOverrides(file);
  if (overrides === null) return { text, config, overriddenBy: null };
  const given: unknown = parse(text);
  const merged = stringify(merge(given, overrides));
  try {
    const effective = parseAppConfig(merged, file);
    if (effective.app !== config.app) throw wrong(file, [['', 'app: it cannot be another app']]);
    return { text: merged, config: effective, overriddenBy: file };
  } catch (cause) {
    if (!(cause instanceof ZddError) || cause.code !== 'ZDD_CONFIG_INVALID') throw cause;
    // Places in the merged text are in no file that anybody has.
    throw wrong(
      file,
      cause.evidence.map(([, problem]) => ['', problem]),
      cause,
    );
  }
}

async function readOverrides(file: string): Promise<Record<string, unknown> | null> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return null;
    throw wrong(file, [['', 'it cannot be read']], cause);
  }
  if (text.length > MAX_CHARACTERS) throw wrong(file, [['', 'it is too long']]);
  let value: unknown;
  try {
    value = parse(text) ?? {};
  } catch (cause) {
    throw wrong(file, [['', cause instanceof Error ? cause.message : String(cause)]], cause);
  }
  if (!isMap(value)) throw wrong(file, [['', 'expected keys of zdd.yaml']]);
  return value;
}

function merge(given: unknown, over: Record<string, unknown>): Record<string, unknown> {
  const merged = new Map(isMap(given) ? Object.entries(given) : []);
  for (const [key, value] of Object.entries(over)) {
    if (value === null) merged.delete(key);
    else merged.set(key, isMap(value) ? merge(merged.get(key), value) : value);
  }
  return Object.fromEntries(merged);
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function wrong(
  file: string,
  evidence: ReadonlyArray<readonly [string, string]>,
  cause?: unknown,
): ZddError {
  return new ZddError('ZDD_AGENT_CONFIG_INVALID', `${file} does not fit this release`, {
    evidence,
    tries: [`sudo editor ${file}`],
    cause,
  });
}
