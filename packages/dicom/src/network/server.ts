/**
 * A DICOM application entity that waits for associations: admits them, negotiates, and takes what they ask to the handlers. Each
 * has its own socket, buffers and clock, so that a peer that is slow, silent or hostile costs the others nothing but its slot.
 */
import { createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { DicomError } from '../dicom-error.ts';
import { DICOM_APPLICATION_CONTEXT } from './associate-pdu.ts';
import { Association } from './association.ts';
import type { DimseHandlers, Peer } from './handlers.ts';
import { ourUserInformation } from './implementation.ts';
import type { ServiceContext } from './incoming.ts';
import { DEFAULT_TIMEOUTS, type NetworkTimeouts, SENT_PDU_BYTES_MIN } from './limits.ts';
import { type Acceptance, answerContexts, negotiatedContexts } from './negotiation.ts';
import { openAssociation } from './open-association.ts';
import type { AssociateAccept, AssociateRequest, Rejection } from './pdu.ts';
import { serve, servicesOf } from './services.ts';
import { Session } from './session.ts';
import { certificateName, type ServerTls } from './tls.ts';

/** PS3.8 table 9-21; `permanent` ones the peer need not try again. */
const REJECTIONS = {
  'calling-ae': { result: 1, source: 1, reason: 3 },
  'called-ae': { result: 1, source: 1, reason: 7 },
  'application-context': { result: 1, source: 1, reason: 2 },
  refused: { result: 1, source: 1, reason: 1 },
  busy: { result: 2, source: 3, reason: 2 },
  failure: { result: 2, source: 2, reason: 1 },
} as const satisfies Readonly<Record<string, Rejection>>;

export type Admission = 'accepted' | 'calling-ae' | 'called-ae' | 'refused' | 'busy';

export type DicomServerOptions = {
  /** 0 for any free one. */
  readonly port: number;
  readonly host: string;
  readonly tls?: ServerTls;
  /** Who may associate; without it everybody may. */
  readonly admit?: (peer: Peer) => Promise<Admission>;
  readonly handlers: DimseHandlers;
  /** Whether objects and transfer syntaxes that PS3.6 does not know are stored. */
  readonly acceptsPrivate?: boolean;
  readonly associationCountMax?: number;
  readonly timeouts?: Partial<NetworkTimeouts>;
  /** What a handler threw, and what ended an association other than by release. */
  readonly onProblem?: (error: unknown, peer: Peer | undefined) => void;
};

export type DicomServer = {
  readonly port: number;
  /** Connections, associated or not. */
  readonly connectionCount: number;
  /** Takes no more associations, lets the requests in work end for `graceMs`, and aborts what is left. */
  close(graceMs?: number): Promise<void>;
};

/** DESIGN: peaks of 100 associations. Further ones are told to come back later. */
const ASSOCIATION_COUNT_MAX = 100;
/** Connections above the number of associations, so that a surplus one can be told; beyond these they are only closed. */
const SURPLUS_CONNECTION_COUNT_MAX = 100;
const GRACE_MS = 10_000; // an instance of some gigabytes takes longer and is sent again

type Connection = { readonly association: Association; readonly session: Session };

export async function startDicomServer(options: DicomServerOptions): Promise<DicomServer> {
  const connections = new Set<Connection>();
  const timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
  const onConnection = (socket: Socket | TLSSocket) => {
    const connection = serveConnection(socket, { ...options, timeouts, isFull: () => isFull() });
    connections.add(connection);
    void connection.association.closed.then(() => connections.delete(connection));
  };
  const associationCountMax = options.associationCountMax ?? ASSOCIATION_COUNT_MAX;
  const isFull = () => [...connections].filter(({ association }) => association.isOpen).length >= associationCountMax;
  const server = createServer(options.tls, timeouts.associateMs, onConnection);
  server.maxConnections = associationCountMax + SURPLUS_CONNECTION_COUNT_MAX;
  await listen(server, options);
  server.on('error', (error) => options.onProblem?.(error, undefined)); // a connection that could not be taken; others can
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : options.port,
    get connectionCount() {
      return connections.size;
    },
    async close(graceMs = GRACE_MS) {
      const closed = new Promise((resolve) => server.close(resolve));
      const grace = AbortSignal.timeout(graceMs);
      await Promise.all([...connections].map((connection) => endConnection(connection, grace)));
      await closed;
    },
  };
}

function createServer(
  tls: ServerTls | undefined,
  handshakeTimeout: number,
  onConnection: (socket: Socket | TLSSocket) => void,
): Server {
  if (tls === undefined) return createTcpServer(onConnection);
  const { key, cert, clientCa } = tls;
  const clients = clientCa === undefined ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true };
  return createTlsServer({ key, cert, handshakeTimeout, ...clients }, onConnection);
}

function listen(server: Server, { port, host }: DicomServerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) =>
      reject(new DicomError('network', `Port ${port} cannot be listened on.`, { cause })),
    );
    server.listen({ port, host }, resolve);
  });
}

async function endConnection({ association, session }: Connection, grace: AbortSignal): Promise<void> {
  await session.idle(grace);
  association.abort(new DicomError('aborted', 'We are closing down.'));
  await association.closed;
}

type ConnectionOptions = DicomServerOptions & { readonly timeouts: NetworkTimeouts; readonly isFull: () => boolean };

function serveConnection(socket: Socket | TLSSocket, options: ConnectionOptions): Connection {
  const { handlers, timeouts } = options;
  const address = socket.remoteAddress ?? '';
  let peer: Peer | undefined;
  const association: Association = new Association({
    socket,
    role: 'acceptor',
    timeouts,
    user: {
      requested: (request) => {
        peer = peerOf(request, { address, certificateName: certificateName(socket) });
        answer(request, peer).catch((error: unknown) => {
          options.onProblem?.(error, peer);
          association.reject(REJECTIONS.failure);
        });
      },
      accepted: () => {}, // comes to requestors alone
      piece: (...piece) => session.piece(...piece),
      ended: (end) => {
        session.ended(end);
        if (end.kind === 'failed' && peer !== undefined) options.onProblem?.(end.error, peer);
      },
    },
  });
  const session: Session = new Session(association, {
    role: 'acceptor',
    timeouts,
    serve: async (request) => {
      if (peer !== undefined) await serve(request, serviceContext(peer));
    },
  });
  const serviceContext = (known: Peer): ServiceContext => ({
    handlers,
    peer: known,
    session,
    connect: async (destination, contexts, originator) => {
      const client = await openAssociation({ ...destination, contexts, timeouts });
      return {
        store: (instance) => client.store(instance, { originator }),
        release: () => client.release(),
      };
    },
    onProblem: (error) => options.onProblem?.(error, known),
  });
  const answer = async (request: AssociateRequest, known: Peer) => {
    const rejection = await rejectionOf(request, known, options);
    if (rejection !== undefined) return association.reject(rejection);
    const accept = acceptOf(request, {
      services: servicesOf(handlers),
      acceptsPrivate: options.acceptsPrivate ?? false,
    });
    session.open(negotiatedContexts(request, accept), request.user.pduBytesMax);
    association.accept(accept);
  };
  association.await();
  return { association, session };
}

async function rejectionOf(
  request: AssociateRequest,
  peer: Peer,
  { admit, isFull }: ConnectionOptions,
): Promise<Rejection | undefined> {
  if (request.applicationContext !== DICOM_APPLICATION_CONTEXT) return REJECTIONS['application-context'];
  const { pduBytesMax } = request.user;
  if (pduBytesMax !== 0 && pduBytesMax < SENT_PDU_BYTES_MIN) return REJECTIONS.refused;
  const admission = (await admit?.(peer)) ?? 'accepted';
  if (admission !== 'accepted') return REJECTIONS[admission];
  return isFull() ? REJECTIONS.busy : undefined; // last: others were admitted meanwhile
}

function acceptOf(request: AssociateRequest, acceptance: Acceptance): AssociateAccept {
  const { results, roles } = answerContexts(request, acceptance);
  // Titles are returned as they came (PS3.8 9.3.3).
  const { calledAe, callingAe, applicationContext } = request;
  return {
    type: 'associate-accept',
    calledAe,
    callingAe,
    applicationContext,
    results,
    user: ourUserInformation(roles),
  };
}

function peerOf(request: AssociateRequest, connection: Pick<Peer, 'address' | 'certificateName'>): Peer {
  const { callingAe, calledAe, user } = request;
  const { implementationClassUid, implementationVersion } = user;
  return { callingAe, calledAe, implementationClassUid, implementationVersion, ...connection };
}
