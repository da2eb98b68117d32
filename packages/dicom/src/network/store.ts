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
const COMMENT_NO_CONTEXT = 'No presentation context for the SOP class and syntax';

/**
 * Sends the instance as it is encoded; where no context was accepted for its SOP class in its transfer syntax, in the first that was
 * accepted and that it can be brought to. Without any nothing is sent, and the outcome is the failure that the peer would give.
 * Throws what ended the association, and what opening the instance throws.
 */
export async function storeOn(session: Session, instance: Instance, options: StoreOptions): Promise<Outcome> {
  const way = wayFor(session.contexts, instance, options.role);
  if (way === undefined) return { status: STATUS.sopClassNotSupported, comment: COMMENT_NO_CONTEXT };
  const { originator } = options;
  const answers = session.ask({
    context: way.context,
    dataSet: way.instance.open(),
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

function wayFor(
  contexts: Iterable<NegotiatedContext>,
  instance: Instance,
  role: Role,
): { readonly context: NegotiatedContext; readonly instance: Instance } | undefined {
  const usable = [...contexts].filter(
    (context) =>
      context.abstractSyntax === instance.sopClass &&
      (role === 'requestor' ? context.requestorIsScu : context.requestorIsScp),
  );
  const own = usable.find((context) => context.transferSyntax === instance.transferSyntax);
  if (own !== undefined) return { context: own, instance };
  for (const context of usable) {
    const other = instance.transcoded?.(context.transferSyntax);
    if (other !== undefined) return { context, instance: other };
  }
  return undefined;
}
