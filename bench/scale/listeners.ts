import { createServer } from 'node:http';

/**
 * A process of its own that listens on many unix sockets and answers 200 at once: the instances of many
 * apps, as far as HAProxy can tell. Told the paths by its parent; says `ready` when all listen.
 */
process.once('message', (paths: readonly string[]) => {
  void Promise.all(
    paths.map(
      (path) =>
        new Promise<void>((resolve, reject) => {
          const server = createServer((request, response) => {
            request.resume().on('end', () => response.end('ok'));
          });
          server.keepAliveTimeout = 60_000;
          server.once('error', reject).listen(path, resolve);
        }),
    ),
  ).then(() => process.send?.('ready'));
});
process.once('disconnect', () => process.exit(0));
