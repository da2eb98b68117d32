/**
 * A listener for MLLP. Each connection has its own decoder and clock, so that a sender that is slow, silent or hostile costs the
 * others nothing but its slot.
 *
 * Messages of a connection are handed on in the order in which they came, without waiting for the one before to be stored, so that
 * many can share one commit; their answers are written in the same order. How many may be under way is bounded: beyond, the socket
 * is not read.
 */
import { createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, TLSSocket } from 'node:tls';
import { Hl7Error } from '../hl7-error.ts';
import { CONNECTION_COUNT_MAX, DEFAULT_MLLP_TIMEOUTS, MESSAGE_BYTES_MAX, type MllpTimeouts } from './limits.ts';
import { MllpConnection } from './mllp-connection.ts';
import type { FramingRule } from './mllp-frames.ts';

export type MllpPeer = {
  readonly address: string;
  /** Counts from 1 in this listener; 0 for one that never came to be, as TLS was not agreed upon. */
  readonly connection: number;
  /** Common name of the certificate that it showed, where TLS asks for one. */
  readonly certificateName: string | undefined;
};

export type ServerTls = {
  readonly key: string;
  readonly cert: string;
  /** With it, a client must show a certificate of this authority. */
  readonly clientCa?: string;
};

/** Older ones are broken (RFC 8996); said here, so that no setting of the machine brings them back. */
export const TLS_VERSION_MIN = 'TLSv1.2';

export type MllpServerOptions = {
  /** 0 for any free one. */
  readonly port: number;
  readonly host: string;
  readonly tls?: ServerTls;
  /** Whether this address may connect at all; without it everybody may. Others are closed at once. */
  readonly admit?: (peer: MllpPeer) => boolean;
  /**
   * Called in the order of arrival. Resolves with the answers, each the content of a frame; none where none is wanted. What it throws
   * ends the connection without an answer, so that the sender sends again.
   */
  readonly receive: (content: Buffer, peer: MllpPeer) => Promise<readonly Buffer[]>;
  /** A frame that is none; answers as `receive`. */
  readonly receiveBroken?: (broken: { rule: FramingRule; head: Buffer }, peer: MllpPeer) => readonly Buffer[];
  readonly messageBytesMax?: number;
  readonly connectionCountMax?: number;
  readonly timeouts?: Partial<MllpTimeouts>;
  /** What ended a connection other than its peer, and what `receive` threw. */
  readonly onProblem?: (error: unknown, peer: MllpPeer | undefined) => void;
};

export type MllpServer = {
  readonly port: number;
  readonly connectionCount: number;
  /** Reads no more, lets what is under way be answered for `graceMs`, then ends the connections. */
  close(graceMs?: number): Promise<void>;
};

const GRACE_MS = 5_000; // what is under way waits for a commit

export async function startMllpServer(options: MllpServerOptions): Promise<MllpServer> {
  const connections = new Set<MllpConnection>();
  const timeouts = { ...DEFAULT_MLLP_TIMEOUTS, ...options.timeouts };
  let opened = 0;
  const server = createServer(options.tls, timeouts.handshakeMs, (socket) => {
    opened += 1;
    const peer = { address: socket.remoteAddress ?? '', connection: opened, certificateName: certificateName(socket) };
    if (options.admit?.(peer) === false) {
      socket.on('error', () => {}); // it is closed in any case
      socket.destroy();
      return;
    }
    const connection = new MllpConnection(socket, {
      timeouts,
      messageBytesMax: options.messageBytesMax ?? MESSAGE_BYTES_MAX,
      receive: (content) => options.receive(content, peer),
      receiveBroken: (broken) => options.receiveBroken?.(broken, peer) ?? [],
      onProblem: (error) => options.onProblem?.(error, peer),
    });
    connections.add(connection);
    void connection.closed.then(() => connections.delete(connection));
  });
  server.maxConnections = options.connectionCountMax ?? CONNECTION_COUNT_MAX;
  await listen(server, options);
  server.on('error', (error) => options.onProblem?.(error, undefined)); // a connection that could not be taken; others can
  server.on('tlsClientError', (cause: Error, socket: TLSSocket) => {
    const peer = { address: socket.remoteAddress ?? '', connection: 0, certificateName: undefined };
    options.onProblem?.(new Hl7Error('network', 'TLS was not agreed upon with a sender.', { cause }), peer);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : options.port,
    get connectionCount() {
      return connections.size;
    },
    async close(graceMs = GRACE_MS) {
      const closed = new Promise((resolve) => server.close(resolve));
      await Promise.all([...connections].map((connection) => connection.close(graceMs)));
      await closed;
    },
  };
}

function createServer(
  tls: ServerTls | undefined,
  handshakeTimeout: number,
  onConnection: (socket: Socket) => void,
): Server {
  if (tls === undefined) return createTcpServer({ noDelay: true, keepAlive: true }, onConnection);
  const { key, cert, clientCa } = tls;
  const clients = clientCa === undefined ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true };
  return createTlsServer(
    { key, cert, minVersion: TLS_VERSION_MIN, handshakeTimeout, noDelay: true, ...clients },
    onConnection,
  );
}

function listen(server: Server, { port, host }: MllpServerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => reject(new Hl7Error('network', `Port ${port} cannot be listened on.`, { cause })));
    server.listen({ port, host }, () => {
      server.removeAllListeners('error');
      resolve();
    });
  });
}

function certificateName(socket: Socket): string | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  const name = socket.getPeerCertificate().subject?.CN;
  return Array.isArray(name) ? name[0] : name;
}
