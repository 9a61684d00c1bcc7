import { tryAgain } from '../../pipeline/tls/acme.ts';
import {
  addCertificate,
  listCertificates,
  removeCertificate,
} from '../../pipeline/tls/certificates.ts';
import { errorReply } from '../../protocol/api.ts';
import {
  certificateRemoval,
  certificateReply,
  certificateRequest,
  certificateRetry,
  certificateRetryReply,
  certificatesReply,
} from '../../protocol/certificates.ts';
import type { Daemon } from '../daemon.ts';
import type { RouteServer } from './app.ts';

/** The certificates of the host: of all its apps, as a name may lead to several. */
export function certificateRoutes(server: RouteServer, { host, signal }: Daemon): void {
  const response = { 200: certificateReply, '4xx': errorReply };

  server.get('/v1/certificates', { schema: { response: { 200: certificatesReply } } }, () =>
    listCertificates(host),
  );

  server.post(
    '/v1/cert-add',
    { schema: { body: certificateRequest, response } },
    async ({ body: { certificate, key, owner } }) =>
      await addCertificate(host, { certificate, key, origin: 'pushed', source: owner }, signal),
  );

  server.post(
    '/v1/cert-renew',
    {
      schema: {
        body: certificateRetry,
        response: { 200: certificateRetryReply, '4xx': errorReply },
      },
    },
    ({ body: { name } }) => {
      tryAgain(host, name);
      return { result: 'due' as const, name };
    },
  );

  server.post(
    '/v1/cert-rm',
    { schema: { body: certificateRemoval, response } },
    async ({ body: { name, owner } }) => await removeCertificate(host, name, owner),
  );
}
