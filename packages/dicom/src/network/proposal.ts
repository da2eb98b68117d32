/** Presentation contexts as a requestor proposes them. */
import { EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN } from '../transfer-syntax.ts';
import type { Instance } from './handlers.ts';
import { PRESENTATION_CONTEXT_COUNT_MAX } from './limits.ts';
import type { PresentationContext, RoleSelection } from './pdu.ts';

export type ProposedContext = {
  readonly abstractSyntax: string;
  readonly transferSyntaxes: readonly string[];
  /** Our roles, where they are not those of an SCU alone (PS3.7 D.3.3.4). */
  readonly roles?: { readonly scu: boolean; readonly scp: boolean };
};

/** For services whose data sets are identifiers, and for verification. */
export function identifierContext(abstractSyntax: string): ProposedContext {
  return { abstractSyntax, transferSyntaxes: [EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN] };
}

/**
 * For fetching by C-GET: we are the SCP of storage, in the first of the syntaxes that the peer can do. At most 128 contexts fit
 * one association, that of the fetching among them.
 */
export function fetchingContext(sopClass: string, transferSyntaxes: readonly string[]): ProposedContext {
  return { abstractSyntax: sopClass, transferSyntaxes, roles: { scu: false, scp: true } };
}

/**
 * One for each SOP class and transfer syntax among the instances: what is accepted then says of each whether it can be sent as it
 * is. A study has a handful; what comes after the 128th has no context and fails.
 */
export function storingContexts(
  instances: readonly Pick<Instance, 'sopClass' | 'transferSyntax'>[],
): ProposedContext[] {
  const pairs = new Map(
    instances.map(({ sopClass, transferSyntax }) => [
      `${sopClass} ${transferSyntax}`,
      { abstractSyntax: sopClass, transferSyntaxes: [transferSyntax] },
    ]),
  );
  return [...pairs.values()].slice(0, PRESENTATION_CONTEXT_COUNT_MAX);
}

export function numbered(contexts: readonly ProposedContext[]): {
  contexts: PresentationContext[];
  roles: RoleSelection[];
} {
  const roles = new Map(
    contexts.flatMap(({ abstractSyntax, roles: own }) =>
      own === undefined ? [] : [[abstractSyntax, { sopClass: abstractSyntax, ...own }] as const],
    ),
  );
  return {
    contexts: contexts.map(({ abstractSyntax, transferSyntaxes }, index) => ({
      id: 2 * index + 1,
      abstractSyntax,
      transferSyntaxes,
    })),
    roles: [...roles.values()],
  };
}
