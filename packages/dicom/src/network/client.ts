/** The side of an association that asks: a verb for each service. */
import type { DataSet } from '../data-set.ts';
import { DicomError } from '../dicom-error.ts';
import type { Association, AssociationEnd } from './association.ts';
import type { Instance } from './handlers.ts';
import { encodeIdentifier } from './identifier.ts';
import { decodeDataSet } from './incoming.ts';
import type { NegotiatedContext } from './negotiation.ts';
import { finalAnswer, type Outcome, outcomeOf, type RequestFields, type Session } from './session.ts';
import { SOP_CLASSES } from './sop-classes.ts';
import { STATUS, statusKind } from './status.ts';
import { type StoreOptions, storeOn } from './store.ts';

export type Progress = {
  readonly remaining: number;
  readonly completed: number;
  readonly failed: number;
  readonly warnings: number;
};

export type QueryOptions = { readonly sopClass: string; readonly signal?: AbortSignal };
export type RetrieveOptions = QueryOptions & { readonly onProgress?: (progress: Progress) => void };
export type RetrieveResult = Outcome & Progress;

export class DimseClient {
  readonly #association: Association;
  readonly #session: Session;
  readonly #ended: Promise<AssociationEnd>;

  constructor(association: Association, session: Session, ended: Promise<AssociationEnd>) {
    this.#association = association;
    this.#session = session;
    this.#ended = ended;
  }

  get contexts(): readonly NegotiatedContext[] {
    return [...this.#session.contexts];
  }

  /** C-ECHO. */
  async echo(): Promise<Outcome> {
    const context = this.#context(SOP_CLASSES.verification);
    const command: RequestFields = { name: 'C-ECHO-RQ', AffectedSOPClassUID: SOP_CLASSES.verification };
    return outcomeOf(await finalAnswer(this.#session.ask({ context, command })));
  }

  /** C-STORE. A failure that the peer tells, or the lack of a context, is an outcome; throws what ended the association. */
  store(instance: Instance, options: Omit<StoreOptions, 'role'> = {}): Promise<Outcome> {
    return storeOn(this.#session, instance, { ...options, role: 'requestor' });
  }

  /** C-FIND: the identifiers of the matches. Throws `refused` when the peer answers with a failure, and what reading a match throws. */
  async *find(identifier: DataSet, options: QueryOptions): AsyncGenerator<DataSet> {
    const context = this.#context(options.sopClass);
    const command: RequestFields = { name: 'C-FIND-RQ', AffectedSOPClassUID: options.sopClass, Priority: 0 };
    const dataSet = encodeIdentifier(identifier, context.transferSyntax);
    for await (const answer of this.#session.ask({ context, command, dataSet, signal: options.signal })) {
      const kind = statusKind(answer.command.Status);
      if (kind === 'failure') throw refusal(outcomeOf(answer));
      if (kind === 'pending' && answer.dataSet !== undefined) {
        yield decodeDataSet(answer.dataSet, context.transferSyntax);
      }
    }
  }

  /** C-MOVE: the peer sends to `destination`, which it has to know. */
  move(identifier: DataSet, options: RetrieveOptions & { destination: string }): Promise<RetrieveResult> {
    const { sopClass, destination } = options;
    return this.#retrieve(identifier, options, {
      name: 'C-MOVE-RQ',
      AffectedSOPClassUID: sopClass,
      Priority: 0,
      MoveDestination: destination,
    });
  }

  /** C-GET: instances come to `handlers.onStore`. */
  get(identifier: DataSet, options: RetrieveOptions): Promise<RetrieveResult> {
    return this.#retrieve(identifier, options, {
      name: 'C-GET-RQ',
      AffectedSOPClassUID: options.sopClass,
      Priority: 0,
    });
  }

  /** N-ACTION, such as the request of storage commitment (PS3.4 J.3.2). */
  async action(
    information: DataSet,
    about: { sopClass: string; sopInstance: string; actionTypeId: number },
  ): Promise<Outcome> {
    const context = this.#context(about.sopClass);
    const command: RequestFields = {
      name: 'N-ACTION-RQ',
      RequestedSOPClassUID: about.sopClass,
      RequestedSOPInstanceUID: about.sopInstance,
      ActionTypeID: about.actionTypeId,
    };
    const dataSet = encodeIdentifier(information, context.transferSyntax);
    return outcomeOf(await finalAnswer(this.#session.ask({ context, command, dataSet })));
  }

  /** N-EVENT-REPORT, for a report on an association of its own (PS3.4 J.3.3), where we proposed to be the SCP. */
  async report(
    information: DataSet,
    about: { sopClass: string; sopInstance: string; eventTypeId: number },
  ): Promise<Outcome> {
    const context = this.#context(about.sopClass);
    const command: RequestFields = {
      name: 'N-EVENT-REPORT-RQ',
      AffectedSOPClassUID: about.sopClass,
      AffectedSOPInstanceUID: about.sopInstance,
      EventTypeID: about.eventTypeId,
    };
    const dataSet = encodeIdentifier(information, context.transferSyntax);
    return outcomeOf(await finalAnswer(this.#session.ask({ context, command, dataSet })));
  }

  /** Settles when the connection is closed; also where the association has ended before. */
  async release(): Promise<void> {
    this.#association.release();
    await this.#association.closed;
  }

  async abort(): Promise<void> {
    this.#association.abort(new DicomError('aborted', 'The association was aborted by us.'));
    await this.#association.closed;
  }

  /** How it ended. */
  get ended(): Promise<AssociationEnd> {
    return this.#ended;
  }

  async #retrieve(identifier: DataSet, options: RetrieveOptions, command: RequestFields): Promise<RetrieveResult> {
    const context = this.#context(options.sopClass);
    const dataSet = encodeIdentifier(identifier, context.transferSyntax);
    let progress: Progress = { remaining: 0, completed: 0, failed: 0, warnings: 0 };
    let outcome: Outcome = { status: STATUS.processingFailure };
    for await (const answer of this.#session.ask({ context, command, dataSet, signal: options.signal })) {
      outcome = outcomeOf(answer);
      progress = {
        remaining: answer.command.NumberOfRemainingSuboperations ?? 0,
        completed: answer.command.NumberOfCompletedSuboperations ?? progress.completed,
        failed: answer.command.NumberOfFailedSuboperations ?? progress.failed,
        warnings: answer.command.NumberOfWarningSuboperations ?? progress.warnings,
      };
      options.onProgress?.(progress);
    }
    return { ...outcome, ...progress };
  }

  #context(sopClass: string): NegotiatedContext {
    for (const context of this.#session.contexts) if (context.abstractSyntax === sopClass) return context;
    throw new DicomError('refused', `The peer accepted no presentation context for ${sopClass}.`);
  }
}

function refusal({ status, comment }: Outcome): DicomError {
  const code = status.toString(16).padStart(4, '0').toUpperCase();
  return new DicomError(
    'refused',
    `The peer answered with status ${code}H${comment === undefined ? '' : `: ${comment}`}.`,
  );
}
