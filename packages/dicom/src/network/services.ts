/** Takes requests to the handlers and their outcome back as a response. What a handler throws is a processing failure. */
import { DicomError } from '../dicom-error.ts';
import type { DimseHandlers } from './handlers.ts';
import { encodeIdentifier } from './identifier.ts';
import { dataSetOf, type Incoming, type ServiceContext } from './incoming.ts';
import { serveGet, serveMove } from './retrieve.ts';
import { finalAnswer, type IncomingRequest, type Outcome, outcomeOf, replyOf } from './session.ts';
import type { Service } from './sop-classes.ts';
import { STATUS } from './status.ts';
import { isUid } from './uid.ts';

export function servicesOf(handlers: DimseHandlers): ReadonlySet<Service | 'report'> {
  const services = new Set<Service | 'report'>(['verification']);
  if (handlers.onStore !== undefined) services.add('store');
  if (handlers.onFind !== undefined) services.add('find');
  if (handlers.onGet !== undefined) services.add('get');
  if (handlers.onMove !== undefined) services.add('move');
  if (handlers.onAction !== undefined) services.add('commitment');
  if (handlers.onReport !== undefined) services.add('report');
  return services;
}

/** Throws only what ended the association. */
export async function serve(request: IncomingRequest, context: ServiceContext): Promise<void> {
  try {
    await dispatch(request, context);
  } catch (caught) {
    if (context.session.hasEnded) throw caught;
    if (!request.signal.aborted) context.onProblem(caught);
    await request.respond({ Status: request.signal.aborted ? STATUS.cancelled : statusOf(caught) });
  }
}

function statusOf(caught: unknown): number {
  if (!(caught instanceof DicomError)) return STATUS.processingFailure;
  switch (caught.code) {
    case 'malformed':
    case 'truncated':
      return STATUS.cannotUnderstand;
    case 'limit':
      return STATUS.resourceLimitation;
    default:
      return STATUS.processingFailure;
  }
}

function dispatch(request: IncomingRequest, context: ServiceContext): Promise<void> {
  const { command } = request;
  switch (command.name) {
    case 'C-ECHO-RQ':
      return serveEcho(request, context);
    case 'C-STORE-RQ':
      return serveStore({ ...request, command }, context);
    case 'C-FIND-RQ':
      return serveFind({ ...request, command }, context);
    case 'C-GET-RQ':
      return serveGet(request, context);
    case 'C-MOVE-RQ':
      return serveMove({ ...request, command }, context);
    case 'N-ACTION-RQ':
      return serveAction({ ...request, command }, context);
    case 'N-EVENT-REPORT-RQ':
      return serveReport({ ...request, command }, context);
    default:
      return request.respond({ Status: STATUS.unrecognizedOperation });
  }
}

async function serveEcho(request: IncomingRequest, { handlers, peer }: ServiceContext): Promise<void> {
  const outcome = await handlers.onEcho?.({ peer, signal: request.signal });
  await request.respond(replyOf(outcome ?? { status: STATUS.success }));
}

async function serveStore(request: Incoming<'C-STORE-RQ'>, { handlers, peer }: ServiceContext): Promise<void> {
  const { command, context, dataSet, signal } = request;
  if (handlers.onStore === undefined || command.AffectedSOPClassUID !== context.abstractSyntax) {
    return request.respond({ Status: STATUS.sopClassNotSupported });
  }
  if (!isUid(command.AffectedSOPInstanceUID)) return request.respond({ Status: STATUS.invalidObjectInstance });
  if (dataSet === undefined) return request.respond({ Status: STATUS.cannotUnderstand });
  const originator = command.MoveOriginatorApplicationEntityTitle;
  const outcome = await handlers.onStore({
    peer,
    signal,
    sopClass: command.AffectedSOPClassUID,
    sopInstance: command.AffectedSOPInstanceUID,
    transferSyntax: context.transferSyntax,
    moveOriginator:
      originator === undefined ? undefined : { aeTitle: originator, messageId: command.MoveOriginatorMessageID ?? 0 },
    dataSet,
  });
  await request.respond(replyOf(outcome));
}

async function serveFind(request: Incoming<'C-FIND-RQ'>, { handlers, peer }: ServiceContext): Promise<void> {
  const { context, signal } = request;
  const identifier = await dataSetOf(request);
  if (handlers.onFind === undefined) return request.respond({ Status: STATUS.sopClassNotSupported });
  if (identifier === undefined) return request.respond({ Status: STATUS.dataSetDoesNotMatchSopClass });
  let final: Outcome = { status: STATUS.success };
  const { abstractSyntax: sopClass, transferSyntax } = context;
  for await (const match of handlers.onFind({ peer, signal, sopClass, identifier, transferSyntax })) {
    if (signal.aborted) break;
    if (!('identifier' in match)) {
      final = match;
      break;
    }
    const status = match.isPartial === true ? STATUS.pendingPartial : STATUS.pending;
    await request.respond({ Status: status }, match.identifier);
  }
  await request.respond(signal.aborted ? { Status: STATUS.cancelled } : replyOf(final));
}

async function serveAction(request: Incoming<'N-ACTION-RQ'>, context: ServiceContext): Promise<void> {
  const { command, signal } = request;
  const { handlers, peer, session } = context;
  const information = await dataSetOf(request);
  if (handlers.onAction === undefined) return request.respond({ Status: STATUS.sopClassNotSupported });
  const sopInstance = command.RequestedSOPInstanceUID ?? '';
  const answered = Promise.withResolvers<void>();
  const outcome = await handlers.onAction({
    peer,
    signal,
    sopClass: command.RequestedSOPClassUID,
    sopInstance,
    actionTypeId: command.ActionTypeID,
    information,
    transferSyntax: request.context.transferSyntax,
    report: async (event) => {
      await answered.promise; // a report before the answer would be about something that was not yet accepted
      const answer = await finalAnswer(
        session.ask({
          context: request.context,
          dataSet: encodeIdentifier(event.information, request.context.transferSyntax),
          command: {
            name: 'N-EVENT-REPORT-RQ',
            AffectedSOPClassUID: command.RequestedSOPClassUID,
            AffectedSOPInstanceUID: sopInstance,
            EventTypeID: event.eventTypeId,
          },
        }),
      );
      return outcomeOf(answer);
    },
  });
  try {
    await request.respond({ ...replyOf(outcome), ActionTypeID: command.ActionTypeID });
  } finally {
    answered.resolve(); // where it has failed the association has ended, and so does the report
  }
}

async function serveReport(request: Incoming<'N-EVENT-REPORT-RQ'>, { handlers, peer }: ServiceContext): Promise<void> {
  const { command, signal } = request;
  const information = await dataSetOf(request);
  if (handlers.onReport === undefined) return request.respond({ Status: STATUS.sopClassNotSupported });
  const outcome = await handlers.onReport({
    peer,
    signal,
    sopClass: command.AffectedSOPClassUID,
    sopInstance: command.AffectedSOPInstanceUID ?? '',
    eventTypeId: command.EventTypeID,
    information,
  });
  await request.respond({ ...replyOf(outcome), EventTypeID: command.EventTypeID });
}
