import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';

export interface Letter {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** An address that notes what comes, and answers as it is told. */
export class Hook {
  readonly letters: Letter[] = [];
  status = 200;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async open(): Promise<Hook> {
    const server = createServer();
    const hook = new Hook(server);
    server.on('request', async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      const { url: path = '', headers } = request;
      hook.letters.push({ path, headers, body: Buffer.concat(chunks).toString() });
      response.writeHead(hook.status, { location: '/elsewhere' }).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return hook;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  to(path: string): Letter[] {
    return this.letters.filter((letter) => letter.path.startsWith(path));
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}
