/** The version of this CLI, as `package.json` has it. */
export async function cliVersion(): Promise<string> {
  const { default: manifest } = await import('../package.json', { with: { type: 'json' } });
  return manifest.version;
}
