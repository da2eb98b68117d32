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

type Storable = Pick<Instance, 'sopClass' | 'transferSyntax' | 'transcoded'>;

/** What one association can carry. */
export type StoringGroup<T extends Storable> = {
  readonly instances: readonly T[];
  readonly contexts: readonly ProposedContext[];
};

/** What every peer has to take (PS3.5 10.1), and what most like better. */
const UNCOMPRESSED = [EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN];

/**
 * The instances in as few associations as their contexts need. One context for each SOP class and transfer syntax among them: what
 * is accepted then says of each whether it can be sent as it is. For those that can be transcoded another one per SOP class offers
 * what they can be brought to. A study has a handful; those of a patient in an old archive may need more than one association holds.
 */
export function storingGroups<T extends Storable>(instances: readonly T[]): StoringGroup<T>[] {
  const byPair = Map.groupBy(instances, ({ sopClass, transferSyntax }) => `${sopClass} ${transferSyntax}`);
  const groups: { instances: T[]; contexts: Map<string, ProposedContext> }[] = [];
  for (const [pair, alike] of byPair) {
    const wanted = contextsFor(pair, alike);
    let group = groups.at(-1);
    const added = [...wanted.keys()].filter((key) => group?.contexts.has(key) !== true).length;
    if (group === undefined || group.contexts.size + added > PRESENTATION_CONTEXT_COUNT_MAX) {
      group = { instances: [], contexts: new Map() };
      groups.push(group);
    }
    group.instances.push(...alike);
    for (const [key, context] of wanted) group.contexts.set(key, context);
  }
  return groups.map((group) => ({ instances: group.instances, contexts: [...group.contexts.values()] }));
}

function contextsFor(pair: string, alike: readonly Storable[]): Map<string, ProposedContext> {
  const contexts = new Map<string, ProposedContext>();
  const [first] = alike;
  if (first === undefined) return contexts;
  const { sopClass: abstractSyntax, transferSyntax } = first;
  contexts.set(pair, { abstractSyntax, transferSyntaxes: [transferSyntax] });
  if (alike.some(({ transcoded }) => transcoded !== undefined)) {
    contexts.set(abstractSyntax, { abstractSyntax, transferSyntaxes: UNCOMPRESSED });
  }
  return contexts;
}

/** For as many of the instances as one association can carry, in the order of `storingGroups`. */
export function storingContexts(instances: readonly Storable[]): readonly ProposedContext[] {
  return storingGroups(instances)[0]?.contexts ?? [];
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
