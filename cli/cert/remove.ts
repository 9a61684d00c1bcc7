import type { Context } from '../context.ts';
import { ownerOf } from '../owner.ts';
import { tellChange } from './tell.ts';

/** @returns the exit code */
export async function removeCertificate(name: string, context: Context): Promise<number> {
  const agent = await context.agent();
  tellChange(context, await agent.removeCertificate(name.toLowerCase(), ownerOf()));
  return 0;
}
