/** What the services have in common: what they need besides the request, and the data set that came with it. */
import { memorySource } from '../byte-source.ts';
import type { DataSet } from '../data-set.ts';
import { readDataSet } from '../data-set-reader.ts';
import { transferSyntaxOf } from '../transfer-syntax.ts';
import type { CommandOf } from './command-set.ts';
import type { Destination, DimseHandlers, Instance, Peer } from './handlers.ts';
import { IDENTIFIER_BYTES_MAX } from './limits.ts';
import type { ProposedContext } from './proposal.ts';
import type { IncomingRequest, Outcome, Session } from './session.ts';

export type StoreTarget = { store(instance: Instance): Promise<Outcome>; release(): Promise<void> };

export type ServiceContext = {
  readonly handlers: DimseHandlers;
  readonly peer: Peer;
  readonly session: Session;
  /** Opens an association with contexts for storing. */
  readonly connect: (
    destination: Destination,
    contexts: readonly ProposedContext[],
    originator: { readonly aeTitle: string; readonly messageId: number },
  ) => Promise<StoreTarget>;
  /** What a handler threw. The peer learns only that it failed. */
  readonly onProblem: (error: unknown) => void;
};

export type Incoming<Name extends IncomingRequest['command']['name']> = IncomingRequest & {
  readonly command: CommandOf<Name>;
};

/** The identifier or the information of a request. Throws `limit` where it is too long, and what the reader throws. */
export async function dataSetOf({ dataSet, context }: IncomingRequest): Promise<DataSet | undefined> {
  if (dataSet === undefined) return undefined;
  return decodeDataSet(await dataSet.whole(IDENTIFIER_BYTES_MAX), context.transferSyntax);
}

export function decodeDataSet(bytes: Buffer, transferSyntax: string): DataSet {
  const encoding = transferSyntaxOf(transferSyntax);
  const limits = { rangeBytesMin: Number.POSITIVE_INFINITY };
  return readDataSet(memorySource(bytes), { start: 0, encoding, limits }).dataSet;
}
