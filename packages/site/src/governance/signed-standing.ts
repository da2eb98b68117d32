/**
 * Where this site stands on a project, by its own signature. The rows of the database only say where to look: what is allowed
 * comes from the signed payload of the newest decision, and a row that says anything else stands for nothing.
 *
 * Invariants
 * - The newest decision is signed with this site's key, for this site, this project, this project document and this number;
 *   the columns beside it repeat the payload; the state of the project is one to which its verdict can lead.
 * - The number of the newest decision of a project never falls. What it was is read from the audit chain once per process and
 *   kept in memory from then on, so that taking away the newest decision does not bring an older one back.
 *
 * What was verified once is known again by a digest over everything that was read, so that a round pays for one hash.
 */
import {
  canonicalJson,
  type Decision,
  DecisionSchema,
  type DecisionState,
  PAYLOAD_TYPES,
  type ProjectId,
  type ProjectSpec,
  ProjectSpecSchema,
  parse,
  type SiteId,
  toAppError,
} from '@lantern/contract';
import { documentDigest, openEnvelope, type SignerKey, sha256 } from '@lantern/service';
import { audit, type SiteContext } from '../site-context.ts';
import type { SiteTx } from '../tables.ts';
import type { DecisionWatch } from './decision-watch.ts';
import type { Standing } from './policy.ts';
import * as store from './store.ts';

const KNOWN_COUNT_MAX = 1000; // far more projects than one hospital works for at a time; the rest is verified again
const REASON_LENGTH_MAX = 200; // of an audit detail

export type SignedStandings = {
  /** `undefined`: this site has not been asked. What was changed is `rejected`, and audited once. */
  of(projectId: ProjectId): Promise<Standing | undefined>;
  /** The highest number that a decision on this project ever had; 0 before the first. */
  newestSequence(projectId: ProjectId): Promise<number>;
  /** A decision was committed just now. */
  decided(projectId: ProjectId, sequence: number): void;
};

export type SignedStandingsDeps = Pick<SiteContext, 'database' | 'db' | 'clock' | 'log' | 'keyPair' | 'siteId'> & {
  readonly watch: Pick<DecisionWatch, 'approvalEnded'>;
};

type Known = { readonly key: string; readonly standing: Standing };
type Sequences = Map<ProjectId, number>;

export function createSignedStandings(deps: SignedStandingsDeps): SignedStandings {
  const known = new Map<ProjectId, Known>();
  let reading: Promise<Sequences> | undefined;
  const sequences = () => {
    reading ??= store.readAuditedSequences(deps.db).catch((caught: unknown) => {
      reading = undefined; // the database was away; the next question reads again
      throw caught;
    });
    return reading;
  };
  const newestSequence = async (projectId: ProjectId) => (await sequences()).get(projectId) ?? 0;
  return {
    newestSequence,
    decided(projectId, sequence) {
      // Without the numbers in memory the audit chain, which holds this one too, is still to be read.
      void reading?.then((numbers) => raise(numbers, projectId, sequence)).catch(() => undefined);
    },
    async of(projectId) {
      const numbers = await sequences();
      // Before the row is read: a decision that commits meanwhile may be in the row already, and never the other way round.
      const sequenceMin = numbers.get(projectId) ?? 0;
      const row = await store.findStanding(deps.db, projectId);
      if (row === undefined && sequenceMin === 0) return undefined;
      const key = sha256(JSON.stringify([row ?? null, (row?.sequence ?? 0) < sequenceMin]));
      const before = known.get(projectId);
      if (before?.key === key) return before.standing;
      const standing = standingOfRow(row, { ...deps, projectId, sequenceMin });
      if (known.size >= KNOWN_COUNT_MAX) known.clear();
      known.set(projectId, { key, standing });
      if (standing.state !== 'rejected') {
        raise(numbers, projectId, row?.sequence ?? 0);
        return standing;
      }
      await noteRejected(deps, projectId, standing.message).catch((caught: unknown) => {
        known.delete(projectId); // so that the next question puts it on the record
        throw caught;
      });
      return standing;
    },
  };
}

function raise(numbers: Sequences, projectId: ProjectId, sequence: number): void {
  numbers.set(projectId, Math.max(sequence, numbers.get(projectId) ?? 0));
}

/** Work that is under way for the project stops; whoever wants to go on has to find out who changed the row. */
async function noteRejected(deps: SignedStandingsDeps, projectId: ProjectId, message: string): Promise<void> {
  deps.watch.approvalEnded(projectId);
  deps.log.error({ projectId, reason: message }, 'a decision is not what this site signed; nothing is done for it');
  await deps.database.transaction((tx: SiteTx) =>
    audit(deps, tx, {
      actor: 'site',
      action: 'decision.reject',
      object: projectId,
      outcome: 'failure',
      details: { code: 'envelope.rejected', reason: message.slice(0, REASON_LENGTH_MAX) },
    }),
  );
}

type Expected = {
  readonly keyPair: SignerKey;
  readonly siteId: SiteId;
  readonly projectId: ProjectId;
  readonly sequenceMin: number;
};

/** States to which a verdict can lead, by DECISION_STATES; `undefined`: nobody has decided. */
const STATES_OF_VERDICT: Readonly<Record<Decision['verdict'] | 'none', readonly DecisionState[]>> = {
  none: ['asked', 'lapsed'],
  approved: ['approved', 'expired', 'lapsed'],
  refused: ['refused', 'lapsed'],
  withdrawn: ['withdrawn', 'lapsed'],
};

function rejected(message: string): Standing {
  return { state: 'rejected', message };
}

/** Pure but for the signature check: what the row stands for. */
function standingOfRow(row: store.StandingRow | undefined, expected: Expected): Standing {
  if (row === undefined) return rejected('The project was taken away after a decision.');
  const { state, project_digest: projectDigest } = row;
  let spec: ProjectSpec;
  let decision: Decision | undefined;
  try {
    spec = parse(ProjectSpecSchema, JSON.parse(row.spec), { what: 'project', code: 'envelope.rejected' });
    decision = row.envelope === null ? undefined : openDecision(row.envelope, expected.keyPair);
  } catch (caught) {
    return rejected(toAppError(caught).message);
  }
  if (documentDigest(spec) !== projectDigest) return rejected('The project is not the document of its digest.');
  if (!STATES_OF_VERDICT[decision?.verdict ?? 'none'].includes(state)) {
    return rejected('The state of the project is not that of the signed decision.');
  }
  const sequence = decision?.sequence ?? 0;
  if (row.sequence !== sequence || row.decision_sequence !== (decision?.sequence ?? null)) {
    return rejected('The number of the decision is not the signed one.');
  }
  if (sequence < expected.sequenceMin) return rejected('A later decision on the project was taken away.');
  if (decision === undefined) return { state, spec, projectDigest };
  const fault = faultOf(decision, row, expected);
  if (fault !== undefined) return rejected(fault);
  return { state, spec, projectDigest, decision: { document: decision, digest: documentDigest(decision) } };
}

function openDecision(envelope: string, signer: SignerKey): Decision {
  return openEnvelope(JSON.parse(envelope), { payloadType: PAYLOAD_TYPES.decision, schema: DecisionSchema, signer });
}

/** Whether a decision that this site signed is the one of this row. */
function faultOf(decision: Decision, row: store.StandingRow, { siteId, projectId }: Expected): string | undefined {
  if (decision.siteId !== siteId || decision.projectId !== projectId) return 'The decision is on another project.';
  if (decision.projectDigest !== row.project_digest) return 'The decision is on another version of the project.';
  const isRepeated =
    row.decision_digest === documentDigest(decision) &&
    canonicalJson(JSON.parse(row.document ?? 'null')) === canonicalJson(decision);
  return isRepeated ? undefined : 'The decision beside the envelope is not the signed one.';
}
