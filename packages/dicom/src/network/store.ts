/** C-STORE as the one who sends (PS3.7 9.1.1, PS3.4 B). */
import type { Role } from './association-states.ts';
import type { Instance } from './handlers.ts';
import type { NegotiatedContext } from './negotiation.ts';
import { finalAnswer, type Outcome, outcomeOf, type Session } from './session.ts';
import { STATUS } from './status.ts';

export type StoreOptions = {
  /** Our side of the association: storing needs the role of the SCU of storage. */
  readonly role: Role;
  readonly originator?: { readonly aeTitle: string; readonly messageId: number } | undefined;
  readonly onProgress?: ((bytesSent: number) => void) | undefined;
};

const PRIORITY_MEDIUM = 0;

/**
 * Sends the instance as it is encoded. Where no context was accepted for its SOP class in its transfer syntax, nothing is sent and
 * the outcome is the failure that the peer would give. Throws what ended the association, and what opening the instance throws.
 */
export async function storeOn(session: Session, instance: Instance, options: StoreOptions): Promise<Outcome> {
  const context = storageContext(session.contexts, instance, options.role);
  if (context === undefined) {
    return { status: STATUS.sopClassNotSupported, comment: 'No presentation context for the SOP class and syntax' };
  }
  const { originator } = options;
  const answers = session.ask({
    context,
    dataSet: instance.open(),
    onProgress: options.onProgress,
    command: {
      name: 'C-STORE-RQ',
      AffectedSOPClassUID: instance.sopClass,
      AffectedSOPInstanceUID: instance.sopInstance,
      Priority: PRIORITY_MEDIUM,
      ...(originator === undefined
        ? {}
        : {
            MoveOriginatorApplicationEntityTitle: originator.aeTitle,
            MoveOriginatorMessageID: originator.messageId,
          }),
    },
  });
  return outcomeOf(await finalAnswer(answers));
}

function storageContext(contexts: Iterable<NegotiatedContext>, instance: Instance, role: Role) {
  for (const context of contexts) {
    const maySend = role === 'requestor' ? context.requestorIsScu : context.requestorIsScp;
    const isFor = context.abstractSyntax === instance.sopClass && context.transferSyntax === instance.transferSyntax;
    if (maySend && isFor) return context;
  }
  return undefined;
}
