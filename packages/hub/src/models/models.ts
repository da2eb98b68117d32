/**
 * The registry. A completed run becomes a model version: one document with the digests of weights and bundle, how to feed
 * them, where they come from and how good they are, signed by the hub. Invariant: every byte that will run at a bedside is
 * named by a signed digest, and version numbers of a model rise without gaps.
 *
 * A run that standardised per site cannot be released: there is no one standardisation to carry to the bedside.
 */
import {
  AppError,
  canonicalJson,
  type InputSource,
  type Lineage,
  MODEL_VERSION_STATES,
  type ModelVersion,
  type ModelVersionId,
  ModelVersionSchema,
  matches,
  type NewModelVersion,
  PAYLOAD_TYPES,
  type ProjectAlgorithm,
  type RegisteredModelVersion,
  type Retirement,
  type Standardisation,
  transition,
} from '@lantern/contract';
import { featureNames } from '@lantern/learning';
import { faultPoint, newId, signEnvelope } from '@lantern/service';
import { namesOfSites } from '../enrolment/enrolment.ts';
import { audit, type HubContext, type Person } from '../hub-context.ts';
import { openProject } from '../projects/projects.ts';
import { type CompletedRun, completedRun } from '../runs/completed-run.ts';
import type { HubDb, HubTx } from '../tables.ts';
import * as store from './store.ts';

function registered(row: store.ModelVersionRow): RegisteredModelVersion {
  return {
    modelVersionId: row.model_version_id,
    model: row.model,
    version: row.version,
    state: row.state,
    envelope: row.envelope,
    ...(row.retirement === null ? {} : { retirement: row.retirement }),
  };
}

/** Releases a completed run. Throws `input.invalid` naming what keeps it from being a model version. */
export async function releaseModelVersion(
  context: HubContext,
  wanted: NewModelVersion,
  person: Person,
): Promise<RegisteredModelVersion> {
  const released = await context.transaction(async (tx: HubTx) => {
    const run = await completedRun(tx, wanted.runId);
    await openProject(tx, {
      projectId: run.project.projectId,
      person,
      states: ['submitted', 'closed', 'expired'],
    });
    checkInputs(wanted.inputs, run.algorithm);
    const version = await store.nextVersion(tx, wanted.model);
    const same = await findSame(tx, wanted);
    if (same !== undefined) return same;
    const standardisation = standardisationOf(run);
    const lineage = await lineageOf(tx, run);
    const createdAt = context.clock.now();
    const document: ModelVersion = {
      schema: 'lantern.model-version/1',
      modelVersionId: newId('ModelVersionId'),
      model: wanted.model,
      version,
      weights: run.weights,
      manifest: run.manifest,
      bundleDigest: run.algorithm.bundleDigest,
      features: run.algorithm.features,
      datasetSchema: run.schema,
      featureNames: featureNames(run.algorithm.features),
      standardisation,
      inputs: wanted.inputs,
      lineage,
      evaluation: run.evaluation,
      card: wanted.card,
      createdBy: person.name,
      createdAt: createdAt.toISOString(),
    };
    const envelope = signEnvelope({
      payloadType: PAYLOAD_TYPES.modelVersion,
      payload: document,
      keyPair: context.keyPair,
    });
    await store.insertModelVersion(tx, {
      ...document,
      runId: run.runId,
      weightsDigest: document.weights.digest,
      envelope,
      createdAt,
    });
    audit(context, tx, {
      actor: person.userId,
      action: 'model-version.release',
      object: document.modelVersionId,
      details: { model: document.model, version: document.version, runId: run.runId },
    });
    return document.modelVersionId;
  });
  faultPoint('hub.model.signed');
  return readModelVersion(context.db, released);
}

/** The same request again, for instance because the answer was lost, is the same version. */
async function findSame(tx: HubTx, wanted: NewModelVersion): Promise<ModelVersionId | undefined> {
  const row = await store.findNewestReleased(tx, wanted);
  if (row === undefined) return undefined;
  const held: unknown = JSON.parse(Buffer.from(row.envelope.payload, 'base64').toString('utf8'));
  if (!matches(ModelVersionSchema, held)) throw new AppError('storage.corrupt', 'A model version lost its form.');
  const isSame =
    canonicalJson(held.inputs) === canonicalJson(wanted.inputs) &&
    canonicalJson(held.card) === canonicalJson(wanted.card);
  return isSame ? row.model_version_id : undefined;
}

function wrong(field: string, message: string): AppError {
  return new AppError('input.invalid', message, { field: `/${field}` });
}

/** Every column that a feature is made of must have a source at the bedside, and no column two. */
function checkInputs(inputs: readonly InputSource[], algorithm: ProjectAlgorithm): void {
  const used = new Set(algorithm.features.features.map((feature) => feature.column));
  const given = new Set<string>();
  for (const [index, { column }] of inputs.entries()) {
    const field = `inputs/${index}/column`;
    if (!used.has(column)) throw wrong(field, `${field}: no feature is made of this column.`);
    if (given.has(column)) throw wrong(field, `${field}: this column has a source already.`);
    given.add(column);
  }
  const missing = [...used].filter((column) => !given.has(column));
  if (missing.length > 0) throw wrong('inputs', `inputs: no source for column ${missing.join(', ')}.`);
}

function standardisationOf(run: CompletedRun): Standardisation {
  if (run.plan.standardisation === 'per-site') {
    throw wrong(
      'runId',
      'runId: this run standardised per site; there is no one standardisation to carry to the bedside. Run it pooled.',
    );
  }
  if (run.standardisation !== undefined) return run.standardisation;
  const featureCount = featureNames(run.algorithm.features).length;
  return { mean: new Array<number>(featureCount).fill(0), stdDev: new Array<number>(featureCount).fill(1) };
}

async function lineageOf(tx: HubTx, run: CompletedRun): Promise<Lineage> {
  const rounds = await store.listRoundLineage(tx, run.runId);
  const decisions = await store.listDecisionsUsed(tx, run.runId);
  const siteIds = [...new Set(rounds.flatMap((round) => round.sites))].sort();
  const names = await namesOfSites(tx, siteIds);
  return {
    projectId: run.project.projectId,
    projectDigest: run.project.projectDigest,
    runId: run.runId,
    plan: run.plan,
    rounds: rounds.map(({ number, step, sites, answerDigests, weightsDigest }) => ({
      number,
      step,
      sites,
      answerDigests,
      ...(weightsDigest === null ? {} : { weightsDigest }),
    })),
    sites: siteIds.map((siteId) => ({
      siteId,
      name: names.get(siteId) ?? siteId,
      decisionDigests: decisions.get(siteId) ?? [],
      trainRowCount: run.trainRowCounts[siteId] ?? 0,
    })),
  };
}

export async function listModelVersions(db: HubDb): Promise<RegisteredModelVersion[]> {
  return (await store.listModelVersionRows(db)).map(registered);
}

export async function readModelVersion(db: HubDb, id: ModelVersionId): Promise<RegisteredModelVersion> {
  const row = await store.findModelVersion(db, id);
  if (row === undefined) throw new AppError('not-found', 'There is no such model version.');
  return registered(row);
}

export async function retireModelVersion(
  context: HubContext,
  id: ModelVersionId,
  person: Person,
): Promise<RegisteredModelVersion> {
  await context.transaction(async (tx: HubTx) => {
    const row = await store.lockModelVersion(tx, id);
    if (row === undefined) throw new AppError('not-found', 'There is no such model version.');
    if (!person.isAdmin && row.created_by !== person.name) {
      throw new AppError('auth.forbidden', 'Only who released a model version or an administrator may retire it.');
    }
    const state = transition(MODEL_VERSION_STATES, { what: 'model version', state: row.state, event: 'retire' });
    const retirement = signEnvelope({
      payloadType: PAYLOAD_TYPES.retirement,
      payload: {
        schema: 'lantern.retirement/1',
        modelVersionId: id,
        retiredBy: person.name,
        retiredAt: context.clock.now().toISOString(),
      } satisfies Retirement,
      keyPair: context.keyPair,
    });
    await store.retireModelVersion(tx, id, { state, retirement });
    audit(context, tx, { actor: person.userId, action: 'model-version.retire', object: id });
  });
  return readModelVersion(context.db, id);
}
