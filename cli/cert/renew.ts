import type { Context } from '../context.ts';
import { ownerOf } from '../owner.ts';

/** @returns the exit code */
export async function renewCertificate(name: string, context: Context): Promise<number> {
  const { screen } = context;
  const agent = await context.agent();
  const reply = await agent.renewCertificate(name.toLowerCase(), ownerOf());
  screen.value(reply);
  screen.data(`${reply.name}: asked for now`);
  screen.note('Try: zdd-agent cert ls');
  return 0;
}
