/**
 * The peer of the exchange bench: the same bytes over plain HTTP. A server process keeps one file's bytes in memory and throws
 * uploads away; each client process downloads them and sends them back. Nothing is signed, hashed, stored or added up.
 */
import { fork } from 'node:child_process';
import { createServer, request } from 'node:http';

const [role = 'measure', portText = '0', bytesText = '0'] = process.argv.slice(2);
const CHUNK = 1024 * 1024;

function serve(sizeBytes: number): void {
  const body = Buffer.alloc(sizeBytes, 7);
  const server = createServer((incoming, outgoing) => {
    if (incoming.method === 'GET') {
      outgoing.writeHead(200, { 'content-length': sizeBytes });
      for (let at = 0; at < sizeBytes; at += CHUNK) outgoing.write(body.subarray(at, at + CHUNK));
      outgoing.end();
      return;
    }
    incoming.on('data', () => undefined);
    incoming.on('end', () => outgoing.end('ok'));
  });
  server.listen(0, '127.0.0.1', () => {
    const address = server.address();
    process.send?.({ port: typeof address === 'object' ? address?.port : 0 });
  });
}

function exchange(port: number, sizeBytes: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const received: Buffer[] = [];
    const down = request({ port, host: '127.0.0.1', method: 'GET' }, (incoming) => {
      incoming.on('data', (part) => received.push(part));
      incoming.on('end', () => {
        const up = request(
          { port, host: '127.0.0.1', method: 'PUT', headers: { 'content-length': sizeBytes } },
          (answer) => {
            answer.resume();
            answer.on('end', resolve);
          },
        );
        up.on('error', reject);
        for (const part of received) up.write(part);
        up.end();
      });
    });
    down.on('error', reject);
    down.end();
  });
}

/** Seconds for `clients` processes to download and upload `sizeBytes` each, at the same time, once per repetition [ms]. */
export async function measureBare(options: {
  clients: number;
  sizeBytes: number;
  repetitions: number;
}): Promise<number[]> {
  const server = fork(import.meta.filename, ['serve', '0', String(options.sizeBytes)]);
  const { port } = await message<{ port: number }>(server);
  const clients = Array.from({ length: options.clients }, () =>
    fork(import.meta.filename, ['client', String(port), String(options.sizeBytes)]),
  );
  await Promise.all(clients.map((client) => message(client)));
  const times: number[] = [];
  for (let repetition = 0; repetition < options.repetitions; repetition++) {
    const startMs = performance.now();
    await Promise.all(
      clients.map((client) => {
        client.send('go');
        return message(client);
      }),
    );
    times.push(performance.now() - startMs);
  }
  for (const child of [server, ...clients]) child.kill();
  return times;
}

function message<T>(child: ReturnType<typeof fork>): Promise<T> {
  return new Promise((resolve, reject) => {
    child.once('message', (value) => resolve(value as T));
    child.once('exit', (code) => reject(new Error(`a bare process ended with ${code ?? 'a signal'}`)));
  });
}

if (role === 'serve') serve(Number(bytesText));
if (role === 'client') {
  process.on('message', () => void exchange(Number(portText), Number(bytesText)).then(() => process.send?.('done')));
  process.send?.('ready');
}
