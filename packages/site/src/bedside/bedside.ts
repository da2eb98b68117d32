/**
 * CDS Hooks 2.0 services at the bedside: one per live deployment. A request brings the patient's record as FHIR; the answer is
 * one card, with a risk and everything it was computed from, or with what is missing or impossible and no risk.
 *
 * Invariants. All inputs or no risk. The consultation (which model version, what kind of answer; nothing of the patient) is
 * committed before the card is answered, so no advice is given of which there is no record. Nothing of a request is logged,
 * and nothing of a comment in feedback is kept but that there was one: free text at a bedside may name the patient.
 */
import { randomUUID } from 'node:crypto';
import {
  AppError,
  type CdsCard,
  type CdsFeedback,
  type CdsRequest,
  type CdsService,
  type Consultation,
  type NewCdsClient,
} from '@lantern/contract';
import {
  designRow,
  findingsCard,
  type InputFinding,
  type InputValue,
  mapInputs,
  OVERRIDE_CODES,
  prefetchTemplates,
  RECORD_CLOCK_AHEAD_MS_MAX,
  riskCard,
} from '@lantern/deployment';
import { newId, type Tx, transactionOf } from '@lantern/service';
import type { Deployments, LiveDeployment } from '../deployments/deployments.ts';
import { audit, type SiteContext } from '../site-context.ts';
import type { SiteTables } from '../tables.ts';
import { assertClient } from './cds-client.ts';
import * as store from './store.ts';

const HOOK = 'patient-view';
const OTHER_CODE = 'other'; // a record system's own code may say anything, so it is not kept
const COMMENTS = 'Comments in feedback (userComment) are not kept; keep them in the record system.';

export type BedsideDeps = Pick<SiteContext, 'database' | 'clock'> & {
  readonly deployments: Pick<Deployments, 'live' | 'findLive' | 'idsOfService'>;
};

export type Bedside = {
  services(): Promise<CdsService[]>;
  /** Throws `not-found`, `input.invalid` (400), `input.prefetch-missing` (412). */
  consult(serviceId: string, request: CdsRequest, signal: AbortSignal): Promise<CdsCard[]>;
  /**
   * Keeps what clinicians did with cards of this service, also of a deployment that was stopped since; the same feedback again
   * changes nothing. All of it or none. Throws `not-found`, and `input.invalid` for a time in the future.
   */
  feedBack(serviceId: string, feedback: CdsFeedback['feedback']): Promise<void>;
  consultations(): Promise<Consultation[]>;
  registerClient(client: NewCdsClient, person: { name: string }): Promise<void>;
};

type BedsideTx = Tx<store.BedsideTables>;

export function createBedside(deps: BedsideDeps): Bedside {
  const db = deps.database.kysely<store.BedsideTables>();
  return {
    services: async () => (await deps.deployments.live()).map(serviceOf),
    consult: (serviceId, request, signal) => consult(deps, db, { serviceId, request, signal }),
    feedBack: (serviceId, feedback) => feedBack(deps, serviceId, feedback),
    consultations: async () => (await store.listConsultations(db)).map(shown),
    registerClient: (client, person) => registerClient(deps, client, person),
  };
}

function serviceOf({ serviceId, version }: LiveDeployment): CdsService {
  const { title, intendedUse, notFor, outcome } = version.card;
  return {
    hook: HOOK,
    id: serviceId,
    title: `${title}, version ${version.version}`,
    description: `Estimated probability of ${outcome}. ${intendedUse}`,
    prefetch: prefetchTemplates(version.inputs),
    usageRequirements: `Not for: ${notFor} ${COMMENTS}`,
  };
}

async function consult(
  deps: BedsideDeps,
  db: store.BedsideDb,
  { serviceId, request, signal }: { serviceId: string; request: CdsRequest; signal: AbortSignal },
): Promise<CdsCard[]> {
  const deployment = await deps.deployments.findLive(serviceId);
  if (deployment === undefined) throw new AppError('not-found', 'There is no such CDS service.');
  if (request.hook !== HOOK) {
    throw new AppError('input.invalid', `This service answers the hook ${HOOK} only.`, { field: '/hook' });
  }
  const now = deps.clock.now();
  const { version, versionDigest, isRetired } = deployment;
  const source = { uuid: randomUUID(), version, versionDigest, isRetired };
  const answer = await assess(deployment, { request, now, signal });
  const card = answer.kind === 'risk' ? riskCard(source, answer) : findingsCard(source, answer.findings);
  await store.insertConsultation(db, {
    consultation_id: newId('ConsultationId'),
    deployment_id: deployment.deploymentId,
    card_uuid: card.uuid,
    result: resultOf(answer),
    at: now,
  });
  return [card];
}

type Assessment =
  | { readonly kind: 'risk'; readonly probability: number; readonly values: readonly InputValue[] }
  | { readonly kind: 'findings'; readonly findings: readonly InputFinding[] };

async function assess(
  { version, predict }: LiveDeployment,
  { request, now, signal }: { request: CdsRequest; now: Date; signal: AbortSignal },
): Promise<Assessment> {
  const used = new Set(version.features.features.map(({ column }) => column));
  const mapped = mapInputs({
    patientId: request.context.patientId,
    fhirServer: request.fhirServer,
    prefetch: request.prefetch,
    inputs: version.inputs.filter(({ column }) => used.has(column)),
    schema: version.datasetSchema,
    now,
  });
  if (mapped.kind === 'incomplete') return { kind: 'findings', findings: mapped.findings };
  const { values } = mapped;
  const columns = new Map(values.map(({ column, value }) => [column, value]));
  const row = designRow(version.features, version.standardisation, columns);
  if (row.kind === 'unusable') return { kind: 'findings', findings: unusable(row.columns, values) };
  return { kind: 'risk', probability: await predict(row.values, signal), values };
}

function unusable(columns: readonly string[], values: readonly InputValue[]): InputFinding[] {
  const reason = 'the model has not learnt from this value';
  return columns.map((column) => {
    const label = values.find((value) => value.column === column)?.label ?? column;
    return { kind: 'impossible', column, label, reason };
  });
}

function resultOf(answer: Assessment): Consultation['result'] {
  if (answer.kind === 'risk') return 'risk';
  return answer.findings.some(({ kind }) => kind === 'impossible') ? 'input-impossible' : 'input-missing';
}

async function feedBack(deps: BedsideDeps, serviceId: string, feedback: CdsFeedback['feedback']): Promise<void> {
  const ofService = new Set(await deps.deployments.idsOfService(serviceId));
  if (ofService.size === 0) throw new AppError('not-found', 'There is no such CDS service.');
  assertNotFuture(feedback, deps.clock.now());
  const cardUuids = [...new Set(feedback.map(({ card }) => card))];
  await deps.database.transaction(async (tx: BedsideTx) => {
    const rows = new Map((await store.lockConsultations(tx, cardUuids)).map((row) => [row.card_uuid, row]));
    for (const { card, outcome, outcomeTimestamp, overrideReason } of feedback) {
      const row = rows.get(card);
      if (row === undefined || !ofService.has(row.deployment_id)) {
        throw new AppError('not-found', 'A card of this feedback was not given by this service.');
      }
      const at = new Date(outcomeTimestamp);
      if (row.outcome_at !== null && row.outcome_at >= at) continue; // delivered again, or overtaken by a later word
      const overrideCode = outcome === 'overridden' ? keptCode(overrideReason?.reason?.code) : null;
      const hasComment = outcome === 'overridden' && (overrideReason?.userComment ?? '') !== '';
      await store.setOutcome(tx, card, { outcome, overrideCode, hasComment, at });
      rows.set(card, { ...row, outcome_at: at });
    }
  });
}

/** The latest word on a card counts, so one from the future would outlast every true one after it. */
function assertNotFuture(feedback: CdsFeedback['feedback'], now: Date): void {
  for (const [index, { outcomeTimestamp }] of feedback.entries()) {
    if (Date.parse(outcomeTimestamp) <= now.getTime() + RECORD_CLOCK_AHEAD_MS_MAX) continue;
    const field = `/feedback/${index}/outcomeTimestamp`;
    throw new AppError('input.invalid', `Field ${field} lies in the future.`, { field });
  }
}

function keptCode(code: string | undefined): string | null {
  if (code === undefined) return null;
  return OVERRIDE_CODES.includes(code) ? code : OTHER_CODE;
}

function shown(row: store.ConsultationRow): Consultation {
  return {
    consultationId: row.consultation_id,
    deploymentId: row.deployment_id,
    cardUuid: row.card_uuid,
    result: row.result,
    at: row.at.toISOString(),
    ...(row.outcome === null ? {} : { outcome: row.outcome }),
    ...(row.override_code === null ? {} : { overrideCode: row.override_code }),
    ...(row.outcome_at === null ? {} : { outcomeAt: row.outcome_at.toISOString() }),
    ...(row.has_comment ? { hasComment: true } : {}),
  };
}

async function registerClient(deps: BedsideDeps, client: NewCdsClient, person: { name: string }): Promise<void> {
  await assertClient(client);
  await deps.database.transaction(async (tx: BedsideTx) => {
    await store.putClient(tx, {
      issuer: client.issuer,
      public_key_pem: client.publicKeyPem,
      algorithm: client.algorithm,
      registered_by: person.name,
      registered_at: deps.clock.now(),
    });
    await audit(deps, transactionOf<SiteTables>(tx), {
      actor: `user:${person.name}`,
      action: 'cds-client.register',
      object: client.issuer,
      details: { algorithm: client.algorithm },
    });
  });
}
