/**
 * Questions about the records of this hospital: who is in a cohort, what they are like, which concepts the records hold.
 *
 *   task ──► policy ──► opt-outs (fresh?) ──► CDM ──► sets of patients ──► disclosure gate ──► answer
 *
 * Invariants: nothing is counted while a list of opt-outs is missing or too old; who opted out is in no set; every number of an
 * answer, and every name of a concept, passed the gate.
 */
import { AppError, assertCohort, type CohortTask, type ConceptsTask, type ProjectId } from '@lantern/contract';
import {
  type CdmNeeds,
  type CohortDefinition,
  GATHERED_COLUMNS,
  planCohortQuestion,
  planConceptsQuestion,
  readCirceValue,
  thresholdOf,
} from '@lantern/omop';
import { documentDigest } from '@lantern/service';
import type { Cdm } from '../cdm/cdm.ts';
import { checkNeeds, checkVocabulary } from '../cohorts/cohort-run.ts';
import type { Performed } from '../exchange/performer.ts';
import { allowsQuestion, type QuestionPermission, type Refusal, type Standing } from '../governance/policy.ts';
import type { OptOutEvidence, OptOuts } from '../opt-outs/opt-outs.ts';
import { type GateDeps, refused } from '../questions/gated-release.ts';
import type { SiteTx } from '../tables.ts';
import type { RecordCdm } from './record-cdm.ts';
import type { RecordPatients } from './record-patients.ts';
import { type CountedCohort, type CountedConcepts, releaseCohort, releaseConcepts } from './record-release.ts';
import { readCohortSets, readConceptNames, readConceptSets } from './record-sets.ts';
import type { RecordsSettings } from './records-settings.ts';
import * as store from './store.ts';

export type RecordsTask = CohortTask | ConceptsTask;

export type RecordsDeps = GateDeps & {
  /** `undefined`: this site answers no questions about records. */
  readonly records:
    | {
        readonly settings: Pick<RecordsSettings, 'dataset' | 'feasibility'>;
        readonly cdm: RecordCdm;
        readonly patients: RecordPatients;
        readonly optOuts: Pick<OptOuts, 'evidence'>;
      }
    | undefined;
  readonly standingOf: (projectId: ProjectId, signal: AbortSignal) => Promise<Standing | undefined>;
};

type OpenRecords = NonNullable<RecordsDeps['records']>;

export function createRecords(deps: RecordsDeps) {
  return {
    async answer(task: RecordsTask, signal: AbortSignal): Promise<Performed> {
      const permission = await permissionOf(deps, task, signal);
      const { records } = deps;
      if (records === undefined || records.settings.dataset !== task.dataset) {
        return refused('not-found', `This site keeps no records under the name "${task.dataset}".`);
      }
      if (!permission.allowed) return refused(permission.code, permission.message);
      const evidence = await records.optOuts.evidence();
      if (!evidence.open) return refused('policy.refused', STALE);
      const asked = { task, permission, evidence, signal };
      return task.kind === 'cohort'
        ? answerCohort(deps, records, { ...asked, task })
        : answerConcepts(deps, records, { ...asked, task });
    },

    /** May the stored answer still leave? */
    async recheck(task: RecordsTask): Promise<Refusal | undefined> {
      const permission = await permissionOf(deps, task, new AbortController().signal);
      if (!permission.allowed) return permission;
      const evidence = await deps.records?.optOuts.evidence();
      return evidence?.open === false ? { allowed: false, code: 'policy.refused', message: STALE } : undefined;
    },
  };
}

/** Fails closed: who opted out since the list was made would be counted. */
const STALE =
  'The list of patients who opted out of research is missing or too old at this site: no records are counted until a newer one is loaded.';

type Asked<Task> = {
  readonly task: Task;
  readonly permission: QuestionPermission;
  readonly evidence: OptOutEvidence;
  readonly signal: AbortSignal;
};

async function permissionOf(
  { standingOf, records, clock }: RecordsDeps,
  { projectId, dataset }: RecordsTask,
  signal: AbortSignal,
): Promise<QuestionPermission | Refusal> {
  const feasibility =
    records?.settings.dataset === dataset ? records.settings.feasibility : ('approved-projects' as const);
  return allowsQuestion(await standingOf(projectId, signal), { dataset, feasibility, now: clock.now() });
}

async function answerCohort(deps: RecordsDeps, records: OpenRecords, asked: Asked<CohortTask>): Promise<Performed> {
  const { task, permission, evidence, signal } = asked;
  const { definition: circe, describe } = task.cohort;
  const planned = orFailure(() => {
    assertCohort(task.cohort);
    const definition = readCirceValue(circe);
    const currentYear = deps.clock.now().getUTCFullYear();
    return { definition, plan: planCohortQuestion({ definition, describe, currentYear }) };
  });
  if ('body' in planned) return planned;
  const { definition, plan } = planned;
  const counted = await records.cdm.use(signal, async (cdm, dataVersion): Promise<CountedCohort> => {
    const numbering = await gather(deps, cdm, { records, evidence, definition, ...plan });
    const sets = await readCohortSets(cdm.results, { plan, patientCountMin: thresholdOf(permission.counts) });
    const ids = sets.tables.flatMap(({ kind, table }) =>
      kind === 'largest' ? table.cells.map(({ label }) => label) : [],
    );
    const names = await readConceptNames(cdm, ids);
    // The order in which tables are asked for is no other question; what stands in a definition is one, be it a name.
    const wording = describe.map((one) => documentDigest(one)).toSorted();
    const key = documentDigest({ dataVersion, optOuts: evidence.state, circe, wording, year: plan.year ?? null });
    return { price: { key, cost: plan.cost }, sets, rules: plan.rules, names, numbering };
  });
  const releasing = { task, permission, evidence, counted };
  const performed = await deps.database.transaction((tx: SiteTx) => releaseCohort(deps, tx, releasing));
  return { ...performed, wording: counted.price.key };
}

async function answerConcepts(deps: RecordsDeps, records: OpenRecords, asked: Asked<ConceptsTask>): Promise<Performed> {
  const { task, permission, evidence, signal } = asked;
  const { concepts } = task;
  const plan = planConceptsQuestion(concepts);
  const counted = await records.cdm.use(signal, async (cdm, dataVersion): Promise<CountedConcepts> => {
    const numbering = await gather(deps, cdm, { records, evidence, definition: undefined, ...plan });
    const table = await readConceptSets(cdm.results, thresholdOf(permission.counts));
    const names = await readConceptNames(
      cdm,
      table.cells.map(({ label }) => label),
    );
    const key = documentDigest({ dataVersion, optOuts: evidence.state, concepts });
    return { price: { key, cost: plan.cost }, table, limit: concepts.limit, names, numbering };
  });
  const releasing = { task, permission, evidence, counted };
  const performed = await deps.database.transaction((tx: SiteTx) => releaseConcepts(deps, tx, releasing));
  return { ...performed, wording: counted.price.key };
}

type Gathering = {
  readonly records: OpenRecords;
  readonly evidence: OptOutEvidence;
  readonly definition: CohortDefinition | undefined;
  readonly needs: CdmNeeds;
  readonly sql: (options: Pick<Cdm, 'dialect'> & { schema?: string }) => string;
};

/** Who may be counted first, then the rows of the question. */
async function gather(
  { db }: Pick<RecordsDeps, 'db'>,
  cdm: Cdm,
  { records, evidence, definition, needs, sql }: Gathering,
): Promise<store.Numbering> {
  checkNeeds(cdm.tables, new Map([...needs, ...IDENTIFYING]));
  if (definition !== undefined) await checkVocabulary(cdm, definition);
  const numbering = await records.patients.prepare(cdm, evidence);
  assertNumbering(numbering, await store.findNumbering(db, records.settings.dataset));
  const { dialect, schema } = cdm;
  await cdm.gather(sql({ dialect, ...(schema === undefined ? {} : { schema }) }), GATHERED_COLUMNS);
  return numbering;
}

/** Another file would give numbers of the history to other persons, and the gate could not tell near questions any more. */
function assertNumbering(found: store.Numbering, known: store.Numbering | undefined): void {
  if (known === undefined || (known.fileId === found.fileId && known.patientCount <= found.patientCount)) return;
  throw new AppError(
    'storage.corrupt',
    'The file of patient numbers at this site is not the one that its history of answers is written in.',
  );
}

const IDENTIFYING: CdmNeeds = new Map([
  ['person', new Set(['person_id', 'gender_concept_id', 'year_of_birth', 'person_source_value'])],
]);

/** What cannot be read is the asker's mistake, and an answer; it names fields of the definition only. */
function orFailure<T extends object>(read: () => T): T | Performed {
  try {
    return read();
  } catch (caught) {
    if (!(caught instanceof AppError) || caught.code !== 'input.invalid') throw caught;
    return { body: { kind: 'failed', code: caught.code, message: caught.message.slice(0, MESSAGE_LENGTH_MAX) } };
  }
}

const MESSAGE_LENGTH_MAX = 1000; // of the contract; names of fields come from the asker
