/** What a site does about what peers ask: one function per service (PS3.4). A service without its function is not offered. */
import type { DataSet } from '../data-set.ts';
import type { DataSetStream } from './data-set-stream.ts';
import type { Outcome } from './session.ts';
import type { ClientTls } from './tls.ts';

/** Who is at the other end, as it says. Titles are no proof of anything; only TLS with certificates of clients is. */
export type Peer = {
  readonly callingAe: string;
  readonly calledAe: string;
  readonly address: string;
  readonly implementationClassUid: string;
  readonly implementationVersion: string | undefined;
  /** Common name of its certificate, where one was asked for and is valid. */
  readonly certificateName: string | undefined;
};

/** An instance to be sent: `open` gives its data set, encoded in `transferSyntax`, without preamble and meta information. */
export type Instance = {
  readonly sopClass: string;
  readonly sopInstance: string;
  readonly transferSyntax: string;
  open(): AsyncIterable<Buffer>;
  /** The same in another transfer syntax, for a peer that does not take its own; `undefined` where there is no way. */
  readonly transcoded?: (transferSyntax: string) => Instance | undefined;
};

type Asked = {
  readonly peer: Peer;
  /** Aborted when the peer cancels, or the association ends. */
  readonly signal: AbortSignal;
};

export type StoreRequest = Asked & {
  readonly sopClass: string;
  /** Syntactically a UID; whether the data set agrees is for the handler to say. */
  readonly sopInstance: string;
  /** In which the data set is encoded, as the peer sent it. */
  readonly transferSyntax: string;
  /** Where the instance comes by C-MOVE: who asked for it. */
  readonly moveOriginator: { readonly aeTitle: string; readonly messageId: number } | undefined;
  /** What arrives, each piece valid until the next is asked for; the peer is held back while nobody takes them. What is left is dropped. */
  readonly dataSet: DataSetStream;
};

export type QueryRequest = Asked & {
  /** Names the information model (PS3.4 C.3, K.6). */
  readonly sopClass: string;
  readonly identifier: DataSet;
  /** In which matches have to be encoded: explicit or implicit little endian. */
  readonly transferSyntax: string;
};

export type MoveRequest = QueryRequest & { readonly destination: string };

/**
 * An encoded match, or how it ended where that is no success. `isPartial`: keys of the request were not supported, which the peer
 * is told with each match (PS3.4 table C.4-1, FF01).
 */
export type Match = { readonly identifier: Buffer; readonly isPartial?: boolean } | Outcome;

export type Retrieval =
  | { readonly kind: 'refused'; readonly status: number; readonly comment?: string }
  | { readonly kind: 'found'; readonly instances: readonly Instance[] };

export type Destination = {
  readonly host: string;
  readonly port: number;
  readonly calledAe: string;
  readonly callingAe: string;
  readonly tls?: ClientTls;
};

export type MoveRetrieval =
  | Extract<Retrieval, { kind: 'refused' }>
  | (Extract<Retrieval, { kind: 'found' }> & { readonly destination: Destination });

export type ActionRequest = Asked & {
  readonly sopClass: string;
  readonly sopInstance: string;
  readonly actionTypeId: number;
  readonly information: DataSet | undefined;
  readonly transferSyntax: string;
  /** Sends a report on this association, once the action was answered. Throws where it has ended: then a new one is needed. */
  report(event: EventReport): Promise<Outcome>;
};

export type EventReport = { readonly eventTypeId: number; readonly information: DataSet };

export type ReportRequest = Asked & {
  readonly sopClass: string;
  readonly sopInstance: string;
  readonly eventTypeId: number;
  readonly information: DataSet | undefined;
};

export type DimseHandlers = {
  /** Verification is offered without it. */
  readonly onEcho?: (request: Asked) => Promise<Outcome>;
  readonly onStore?: (request: StoreRequest) => Promise<Outcome>;
  readonly onFind?: (request: QueryRequest) => AsyncIterable<Match>;
  readonly onGet?: (request: QueryRequest) => Promise<Retrieval>;
  readonly onMove?: (request: MoveRequest) => Promise<MoveRetrieval>;
  readonly onAction?: (request: ActionRequest) => Promise<Outcome>;
  readonly onReport?: (request: ReportRequest) => Promise<Outcome>;
};
