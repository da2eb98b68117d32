/**
 * What an acceptor answers to the presentation contexts and roles that a requestor proposes (PS3.8 9.3.3.2, PS3.7 D.3.3.4), and
 * what both sides then know about a context.
 */
import { EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN } from '../transfer-syntax.ts';
import type { AssociateAccept, AssociateRequest, ContextResult, PresentationContext, RoleSelection } from './pdu.ts';
import { isKnownTransferSyntax, mayBeStorage, type Service, serviceOf } from './sop-classes.ts';

export type Acceptance = {
  /** Services for which there is a handler; `report`: of the results of storage commitment. */
  readonly services: ReadonlySet<Service | 'report'>;
  /** Whether to store objects of makers' own SOP classes, in transfer syntaxes that PS3.6 does not know. */
  readonly acceptsPrivate: boolean;
};

export type NegotiatedContext = {
  readonly id: number;
  readonly abstractSyntax: string;
  readonly transferSyntax: string;
  /** Roles of the requestor of the association; by default it is the SCU (PS3.7 D.3.3.4). */
  readonly requestorIsScu: boolean;
  readonly requestorIsScp: boolean;
};

/** PS3.8 table 9-18. */
const ACCEPTED = 0;
const ABSTRACT_SYNTAX_NOT_SUPPORTED = 3;
const TRANSFER_SYNTAXES_NOT_SUPPORTED = 4;

/** What we do that needs a context of each kind: one that fetches is the SCP of storage, which needs no handler of ours. */
const OFFERED_BY: Readonly<Record<Service, readonly (Service | 'report')[]>> = {
  verification: ['verification'],
  store: ['store', 'get'],
  find: ['find'],
  move: ['move'],
  get: ['get'],
  commitment: ['commitment', 'report'],
};

/** Identifiers are read and written in these; what is clearest first. */
const IDENTIFIER_SYNTAXES = [EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN];

function serviceFor(sopClass: string, acceptsPrivate: boolean): Service | undefined {
  return serviceOf(sopClass) ?? (acceptsPrivate && mayBeStorage(sopClass) ? 'store' : undefined);
}

/** A result for each context, in their order, and an answer to each role that is proposed for a class of a context. */
export function answerContexts(
  request: AssociateRequest,
  acceptance: Acceptance,
): { results: ContextResult[]; roles: RoleSelection[] } {
  const results = request.contexts.map((context) => answerContext(context, acceptance));
  const proposed = new Set(request.contexts.map(({ abstractSyntax }) => abstractSyntax));
  const roles = request.user.roles
    .filter(({ sopClass }) => proposed.has(sopClass))
    .map((role) => answerRole(role, acceptance));
  return { results, roles };
}

function answerContext(context: PresentationContext, { services, acceptsPrivate }: Acceptance): ContextResult {
  const { id, abstractSyntax, transferSyntaxes } = context;
  const service = serviceFor(abstractSyntax, acceptsPrivate);
  const [first = IMPLICIT_LITTLE_ENDIAN] = transferSyntaxes;
  const isOffered = service !== undefined && OFFERED_BY[service].some((one) => services.has(one));
  if (!isOffered) return { id, result: ABSTRACT_SYNTAX_NOT_SUPPORTED, transferSyntax: first };
  const chosen =
    service === 'store'
      ? // As sent: the first that the sender names is the one it has, or likes best.
        transferSyntaxes.find((uid) => acceptsPrivate || isKnownTransferSyntax(uid))
      : IDENTIFIER_SYNTAXES.find((uid) => transferSyntaxes.includes(uid));
  if (chosen === undefined) return { id, result: TRANSFER_SYNTAXES_NOT_SUPPORTED, transferSyntax: first };
  return { id, result: ACCEPTED, transferSyntax: chosen };
}

/** The requestor may be the SCP of storage where it can fetch, and of commitment where we take its reports (PS3.4 J.3.3). */
function answerRole({ sopClass, scu, scp }: RoleSelection, { services, acceptsPrivate }: Acceptance): RoleSelection {
  const service = serviceFor(sopClass, acceptsPrivate);
  const scpNeeds = service === 'store' ? 'get' : service === 'commitment' ? 'report' : undefined;
  return {
    sopClass,
    scu: scu && service !== undefined && services.has(service),
    scp: scp && scpNeeds !== undefined && services.has(scpNeeds),
  };
}

/** The accepted contexts as both sides now understand them, by id. */
export function negotiatedContexts(
  request: AssociateRequest,
  accept: AssociateAccept,
): ReadonlyMap<number, NegotiatedContext> {
  const contexts = new Map<number, NegotiatedContext>();
  for (const { id, abstractSyntax } of request.contexts) {
    const answer = accept.results.find((result) => result.id === id);
    if (answer?.result !== ACCEPTED) continue;
    const isProposed = request.user.roles.some(({ sopClass }) => sopClass === abstractSyntax);
    const role = isProposed ? accept.user.roles.find(({ sopClass }) => sopClass === abstractSyntax) : undefined;
    contexts.set(id, {
      id,
      abstractSyntax,
      transferSyntax: answer.transferSyntax,
      requestorIsScu: role?.scu ?? true,
      requestorIsScp: role?.scp ?? false,
    });
  }
  return contexts;
}
