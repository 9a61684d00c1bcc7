import { z } from 'zod';

/** Where the hosts of an environment stand: in `zdd.yaml`, in a file, or in what a command prints. */
export const hostSource = z.union([
  z.array(z.string().min(1)).min(1),
  z.strictObject({ file: z.string().min(1) }),
  z.strictObject({
    command: z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]),
  }),
]);
export type HostSource = z.infer<typeof hostSource>;
