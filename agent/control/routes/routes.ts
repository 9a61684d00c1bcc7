import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { Daemon } from '../daemon.ts';
import { auditRoutes } from './audit.ts';
import { canaryRoutes } from './canary.ts';
import { certificateRoutes } from './certificates.ts';
import { contractRoutes } from './contract.ts';
import { deployRoutes } from './deploy.ts';
import { environmentRoutes } from './environment.ts';
import { everydayRoutes } from './everyday.ts';
import { gateRoutes } from './gate.ts';
import { metricsRoutes } from './metrics.ts';
import { notifyRoutes } from './notify.ts';
import { previewRoutes } from './preview.ts';
import { readRoutes } from './read.ts';
import { streamRoutes } from './stream.ts';
import { uploadRoutes } from './uploads.ts';

/** Every route of the control API: one file a subject. */
export async function registerRoutes(scope: FastifyInstance, daemon: Daemon): Promise<void> {
  const server = scope.withTypeProvider<ZodTypeProvider>();
  readRoutes(server, daemon);
  streamRoutes(server, daemon);
  deployRoutes(server, daemon);
  canaryRoutes(server, daemon);
  everydayRoutes(server, daemon);
  gateRoutes(server, daemon);
  auditRoutes(server, daemon);
  certificateRoutes(server, daemon);
  environmentRoutes(server, daemon);
  uploadRoutes(server, daemon);
  previewRoutes(server, daemon);
  notifyRoutes(server, daemon);
  contractRoutes(server, daemon);
  metricsRoutes(server, daemon);
}
