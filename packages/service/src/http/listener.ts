/** The listening side of a server: sockets, time-outs, TLS, and an end that waits. */
import { randomUUID } from 'node:crypto';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { AppError } from '@lantern/contract';
import { parserFaultAnswer } from './error-response.ts';
import {
  CLOSE_WAIT_MS_MAX,
  CONNECTION_COUNT_MAX,
  HEADER_BYTES_MAX,
  HEADERS_TIMEOUT_MS,
  KEEP_ALIVE_MS,
  REQUEST_TIMEOUT_MS,
} from './limits.ts';

/** PEM texts of a private key and its certificate chain. */
export type TlsMaterial = { readonly key: string; readonly cert: string };

/** A server with every bound set; plain HTTP without `tls`. Bytes that are no HTTP are answered in our error form. */
export function createListener(tls: TlsMaterial | undefined, listener: RequestListener): Server {
  const settings = {
    noDelay: true, // answers are small and waited for
    keepAlive: true, // finds peers that went away while a long poll waits
    keepAliveTimeout: KEEP_ALIVE_MS,
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    maxHeaderSize: HEADER_BYTES_MAX,
  };
  const server =
    tls === undefined
      ? createServer(settings, listener)
      : createTlsServer({ ...settings, ...tls, minVersion: 'TLSv1.2' }, listener);
  server.maxConnections = CONNECTION_COUNT_MAX;
  server.on('clientError', (fault: Error & { code?: string }, socket) => {
    if (socket.writable && fault.code !== 'ECONNRESET') socket.end(parserFaultAnswer(fault.code ?? '', randomUUID()));
    else socket.destroy();
  });
  return server;
}

const LISTEN_REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program listens there already',
  EACCES: 'this user may not; ports below 1024 are mostly kept for root',
  EADDRNOTAVAIL: 'this machine has no such address',
  ENOTFOUND: 'no machine has this name',
};

function listenReason(cause: Error): string {
  const code = 'code' in cause ? String(cause.code) : cause.name;
  return LISTEN_REASONS[code] ?? code;
}

/** Listens and gives the URL with the real port; `set-up.failed` when it cannot. */
export async function listenOn(
  server: Server,
  at: { readonly host: string; readonly port: number },
  scheme: 'http' | 'https',
): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    const failed = (cause: Error): void => {
      const why = listenReason(cause);
      reject(new AppError('set-up.failed', `Cannot listen on ${at.host} port ${at.port}: ${why}.`, { cause }));
    };
    server.once('error', failed);
    server.listen({ host: at.host, port: at.port }, () => {
      server.off('error', failed);
      resolve();
    });
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : at.port;
  return `${scheme}://${at.host.includes(':') ? `[${at.host}]` : at.host}:${port}`;
}

/** Takes no new connection, waits for running requests up to a limit, then cuts them. */
export async function closeListener(server: Server): Promise<void> {
  const ended = new Promise<void>((resolve) => {
    server.close(() => resolve()); // an error here only says that it never listened
  });
  server.closeIdleConnections();
  const cut = setTimeout(() => server.closeAllConnections(), CLOSE_WAIT_MS_MAX);
  await ended;
  clearTimeout(cut);
}
