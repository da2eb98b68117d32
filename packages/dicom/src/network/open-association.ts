/** Opens an association as the requestor: connection, negotiation, and the client that speaks on it. */
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { DicomError } from '../dicom-error.ts';
import { DICOM_APPLICATION_CONTEXT } from './associate-pdu.ts';
import { Association, type AssociationEnd } from './association.ts';
import { DimseClient } from './client.ts';
import type { DimseHandlers, Peer } from './handlers.ts';
import { ourUserInformation } from './implementation.ts';
import {
  DEFAULT_TIMEOUTS,
  type NetworkTimeouts,
  PRESENTATION_CONTEXT_COUNT_MAX,
  SENT_PDU_BYTES_MIN,
} from './limits.ts';
import { negotiatedContexts } from './negotiation.ts';
import type { AssociateAccept, AssociateRequest, Rejection } from './pdu.ts';
import { numbered, type ProposedContext } from './proposal.ts';
import { serve } from './services.ts';
import { Session } from './session.ts';
import { type ClientTls, certificateName } from './tls.ts';

export type AssociationOptions = {
  readonly host: string;
  readonly port: number;
  readonly calledAe: string;
  readonly callingAe: string;
  /** At most 128. */
  readonly contexts: readonly ProposedContext[];
  readonly tls?: ClientTls | undefined;
  readonly timeouts?: Partial<NetworkTimeouts>;
  /** Aborts the association, also while it is being opened. */
  readonly signal?: AbortSignal;
  /** For what the peer asks: `onStore` for C-GET, `onReport` for storage commitment. */
  readonly handlers?: Pick<DimseHandlers, 'onStore' | 'onReport'>;
  /** What a handler threw: the peer is told that it failed, this why. */
  readonly onProblem?: (error: unknown) => void;
};

/** Throws `network`, `timeout`, `busy`, `refused` (with what the peer said), or `aborted`. */
export async function openAssociation(options: AssociationOptions): Promise<DimseClient> {
  const timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
  options.signal?.throwIfAborted();
  if (options.contexts.length > PRESENTATION_CONTEXT_COUNT_MAX) {
    throw new DicomError('limit', `More than ${PRESENTATION_CONTEXT_COUNT_MAX} presentation contexts.`);
  }
  const socket = await openSocket(options, timeouts.associateMs);
  const request = requestOf(options);
  let peer = peerOf(options, socket);
  const accepted = Promise.withResolvers<AssociateAccept>();
  const ended = Promise.withResolvers<AssociationEnd>();
  const association: Association = new Association({
    socket,
    role: 'requestor',
    timeouts,
    user: {
      requested: () => {}, // comes to acceptors alone
      accepted: (accept) => {
        const { implementationClassUid, implementationVersion } = accept.user;
        peer = { ...peer, implementationClassUid, implementationVersion };
        session.open(negotiatedContexts(request, accept), accept.user.pduBytesMax);
        accepted.resolve(accept);
      },
      piece: (...piece) => session.piece(...piece),
      ended: (end) => {
        session.ended(end);
        accepted.reject(errorOf(end));
        ended.resolve(end);
      },
    },
  });
  const session: Session = new Session(association, {
    role: 'requestor',
    timeouts,
    serve: (incoming) =>
      serve(incoming, {
        handlers: options.handlers ?? {},
        peer,
        session,
        connect: () => Promise.reject(new DicomError('refused', 'A requestor forwards nothing.')),
        onProblem: (error) => options.onProblem?.(error),
      }),
  });
  const abort = () => association.abort(new DicomError('aborted', 'The association was aborted by us.'));
  options.signal?.addEventListener('abort', abort, { once: true });
  void association.closed.then(() => options.signal?.removeEventListener('abort', abort));
  association.request(request);
  const { user } = await accepted.promise;
  if (user.pduBytesMax !== 0 && user.pduBytesMax < SENT_PDU_BYTES_MIN) {
    const error = new DicomError('refused', `The peer receives no more than ${user.pduBytesMax} bytes at once.`);
    association.abort(error);
    throw error;
  }
  return new DimseClient(association, session, ended.promise);
}

async function openSocket(options: AssociationOptions, timeoutMs: number): Promise<Socket | TLSSocket> {
  const { host, port, tls, signal } = options;
  const socket =
    tls === undefined
      ? connectTcp({ host, port })
      : connectTls({
          host,
          port,
          ca: tls.ca,
          ...ownCertificate(tls),
          ...(tls.serverName && { servername: tls.serverName }),
        });
  const connected = Promise.withResolvers<void>();
  socket.once(tls === undefined ? 'connect' : 'secureConnect', () => connected.resolve());
  const fail = (cause: unknown) => connected.reject(new DicomError('network', 'The peer is not reached.', { cause }));
  socket.once('error', fail);
  const timer = setTimeout(
    () => connected.reject(new DicomError('timeout', 'The peer does not take the connection.')),
    timeoutMs,
  );
  const abort = () => connected.reject(new DicomError('aborted', 'The association was aborted by us.'));
  signal?.addEventListener('abort', abort, { once: true });
  try {
    await connected.promise;
    return socket;
  } catch (caught) {
    socket.on('error', () => {}); // it is given up, whatever becomes of it
    socket.destroy();
    throw caught;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
    socket.off('error', fail);
  }
}

function ownCertificate({ key, cert }: ClientTls): { key?: string; cert?: string } {
  return key === undefined || cert === undefined ? {} : { key, cert };
}

function requestOf(options: AssociationOptions): AssociateRequest {
  const { contexts, roles } = numbered(options.contexts);
  return {
    type: 'associate-request',
    calledAe: options.calledAe,
    callingAe: options.callingAe,
    applicationContext: DICOM_APPLICATION_CONTEXT,
    contexts,
    user: ourUserInformation(roles),
  };
}

function peerOf({ callingAe, calledAe }: AssociationOptions, socket: Socket | TLSSocket): Peer {
  return {
    callingAe,
    calledAe,
    address: socket.remoteAddress ?? '',
    implementationClassUid: '',
    implementationVersion: undefined,
    certificateName: certificateName(socket),
  };
}

function errorOf(end: AssociationEnd): DicomError {
  switch (end.kind) {
    case 'failed':
      return end.error;
    case 'rejected':
      return new DicomError(
        end.rejection.result === REJECTED_FOR_NOW ? 'busy' : 'refused',
        `The peer rejected the association: ${rejectionText(end.rejection)}.`,
      );
    case 'released':
      return new DicomError('aborted', 'The association was released before it was accepted.');
    default:
      return end satisfies never;
  }
}

/** PS3.8 table 9-21. */
const REJECTED_FOR_NOW = 2;
const REJECTION_REASONS: Readonly<Record<string, string>> = {
  '1.1': 'no reason given',
  '1.2': 'application context not supported',
  '1.3': 'calling AE title not recognized',
  '1.7': 'called AE title not recognized',
  '2.1': 'no reason given',
  '2.2': 'protocol version not supported',
  '3.1': 'temporary congestion',
  '3.2': 'local limit exceeded',
};

function rejectionText({ result, source, reason }: Rejection): string {
  const text = REJECTION_REASONS[`${source}.${reason}`] ?? `source ${source}, reason ${reason}`;
  return `${text} (${result === REJECTED_FOR_NOW ? 'transient' : 'permanent'})`;
}
