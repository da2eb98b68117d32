/**
 * The hub's tables as types: the mirror of `migrations/*.sql`. Each capability writes only its own tables; a `jsonb` column
 * is written as text, so that an array is not mistaken for a PostgreSQL array.
 */
import type {
  Answer,
  BundleManifest,
  DatasetSchema,
  DecisionState,
  Digest,
  FeasibilityPolicy,
  HubTaskState,
  ModelVersionId,
  ModelVersionState,
  NewQuestion,
  ProjectId,
  ProjectSpec,
  ProjectState,
  QuestionId,
  RoundState,
  Run,
  RunId,
  RunPlan,
  RunState,
  SignedEnvelope,
  SiteId,
  SiteState,
  SiteTask,
  StepKind,
  TaskId,
} from '@lantern/contract';
import type { Tx } from '@lantern/service';
import type { ColumnType, Generated, Kysely } from 'kysely';
import type { RoundResult } from './runs/round-result.ts';

type Json<T> = ColumnType<T, string, string>;
type JsonOrNull<T> = ColumnType<T | null, string | null | undefined, string | null>;
type Instant = ColumnType<Date, Date, Date>;
type InstantOrNull = ColumnType<Date | null, Date | null | undefined, Date | null>;
type Nullable<T> = ColumnType<T | null, T | null | undefined, T | null>;

export type HubTables = {
  enrolment_code: {
    code_hash: string;
    site_name: string;
    created_by: string;
    created_at: Instant;
    expires_at: Instant;
    used_at: InstantOrNull;
    used_by: Nullable<SiteId>;
  };
  site: {
    site_id: SiteId;
    name: string;
    key_id: string;
    public_key_pem: string;
    state: SiteState;
    enrolled_at: Instant;
    last_seen_at: InstantOrNull;
  };
  dataset_offer: {
    site_id: SiteId;
    name: string;
    schema: Json<DatasetSchema>;
    schema_digest: Digest;
    feasibility: FeasibilityPolicy;
    offered_at: Instant;
  };
  site_audit_head: {
    site_id: SiteId;
    sequence: number;
    hash: string;
    envelope: Json<SignedEnvelope>;
    received_at: Instant;
  };
  bundle: {
    bundle_digest: Digest;
    name: string;
    version: string;
    manifest: Json<BundleManifest>;
    created_by: string;
    created_at: Instant;
  };
  bundle_file: { bundle_digest: Digest; path: string; digest: Digest; size_bytes: number };
  project: {
    project_id: ProjectId;
    state: ProjectState;
    spec: Json<ProjectSpec>;
    project_digest: Digest;
    created_by: string;
    created_at: Instant;
    expires_at: Instant;
  };
  project_bundle: { project_id: ProjectId; bundle_digest: Digest };
  project_decision: {
    project_id: ProjectId;
    site_id: SiteId;
    state: DecisionState;
    sequence: Generated<number>;
    decision_digest: Nullable<Digest>;
  };
  decision_document: {
    project_id: ProjectId;
    site_id: SiteId;
    sequence: number;
    decision_digest: Digest;
    envelope: Json<SignedEnvelope>;
    received_at: Instant;
  };
  question: {
    question_id: QuestionId;
    project_id: ProjectId;
    question: Json<NewQuestion>;
    asked_by: string;
    asked_at: Instant;
  };
  run: {
    run_id: RunId;
    project_id: ProjectId;
    state: RunState;
    plan: Json<RunPlan>;
    bundle_digest: Digest;
    message: Nullable<string>;
    evaluation: JsonOrNull<NonNullable<Run['evaluation']>>;
    created_by: string;
    created_at: Instant;
    ended_at: InstantOrNull;
  };
  round: {
    run_id: RunId;
    number: number;
    step: StepKind;
    state: RoundState;
    opened_at: Instant;
    closed_at: InstantOrNull;
    weights_digest: Nullable<Digest>;
    metrics: JsonOrNull<Record<string, number>>;
    result: JsonOrNull<RoundResult>;
  };
  task: {
    task_id: TaskId;
    site_id: SiteId;
    project_id: ProjectId;
    kind: SiteTask['kind'];
    question_id: Nullable<QuestionId>;
    run_id: Nullable<RunId>;
    round: Nullable<number>;
    state: HubTaskState;
    envelope: Json<SignedEnvelope>;
    created_at: Instant;
    ordinal: Generated<number>;
    delivered_at: InstantOrNull;
    delivery_count: Generated<number>;
    ended_at: InstantOrNull;
    answer_digest: Nullable<Digest>;
    decision_digest: Nullable<Digest>;
    answer: JsonOrNull<Answer['body']>;
    answer_envelope: JsonOrNull<SignedEnvelope>;
    message: Nullable<string>;
    upload_bytes_max: Generated<number>;
  };
  task_blob: { task_id: TaskId; digest: Digest };
  model_version: {
    model_version_id: ModelVersionId;
    model: string;
    version: number;
    state: ModelVersionState;
    run_id: RunId;
    bundle_digest: Digest;
    weights_digest: Digest;
    envelope: Json<SignedEnvelope>;
    created_by: string;
    created_at: Instant;
    retirement: Json<SignedEnvelope> | null;
  };
};

/** The pool, or a transaction on it: a store function takes either, so that its caller decides what commits together. */
export type HubDb = Kysely<HubTables>;

/** Only a transaction: what is written here commits together with an audit record, a job or a wake-up. */
export type HubTx = Tx<HubTables>;
