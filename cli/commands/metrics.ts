import type { Command } from '../command.ts';

export const metrics: Command = {
  name: 'metrics',
  summary: 'numbers for Prometheus: apps, releases, requests, certificates, HAProxy',
  description:
    'Prints what Prometheus reads, in its text format: as it stands, or for the textfile collector of node_exporter. Prometheus itself scrapes the agent where `metrics` of agent.yaml has it listen. docs/metrics.md names each.',
  examples: [
    ['zdd-agent metrics | grep not_after', 'when certificates end'],
    ['zdd-agent metrics --json', 'as one value: its text'],
  ],
  args: [],
  options: [],
  aside: true,
  async run(_input, context) {
    const agent = await context.agent();
    const text = await agent.metrics(context.interrupts.signal);
    context.screen.value({ schemaVersion: 1, text });
    context.screen.data(text.trimEnd());
    return 0;
  },
};
