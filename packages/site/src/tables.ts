/**
 * The site's tables as types: the mirror of `migrations/001-` to `004-` and of `019-`; deployments and bedside mirror their own. Each
 * capability writes only its own tables; a `jsonb` column is written as text, so that an array is not mistaken for a
 * PostgreSQL array.
 */
import type {
  AnswerBody,
  DatasetSchema,
  Decision,
  DecisionId,
  DecisionState,
  Digest,
  FeasibilityPolicy,
  FeatureSpec,
  MomentsMessage,
  ProjectId,
  ProjectSpec,
  RunId,
  SignedEnvelope,
  SiteTask,
  SiteTaskState,
  StepKind,
  TaskId,
} from '@lantern/contract';
import type { Tx } from '@lantern/service';
import type { ColumnType, Generated, Kysely } from 'kysely';
import type { AnswerFile } from './exchange/answer.ts';
import type { SnapshotFacts } from './training/snapshot.ts';

type Json<T> = ColumnType<T, string, string>;
type JsonOrNull<T> = ColumnType<T | null, string | null | undefined, string | null>;
type Instant = ColumnType<Date, Date, Date>;
type Nullable<T> = ColumnType<T | null, T | null | undefined, T | null>;

export type SiteTables = {
  dataset: {
    dataset_id: Generated<number>;
    name: string;
    schema: Json<DatasetSchema>;
    schema_digest: Digest;
    content_digest: Digest;
    feasibility: FeasibilityPolicy;
    row_count: number;
    patient_count: number;
    next_patient_number: number;
    registered_by: string;
    registered_at: Instant;
    removed_at: Nullable<Date>;
  };
  asked_project: {
    project_id: ProjectId;
    project_digest: Digest;
    spec: Json<ProjectSpec>;
    hub_state: string;
    state: DecisionState;
    sequence: Generated<number>;
    first_asked_at: Instant;
  };
  decision: {
    project_id: ProjectId;
    sequence: number;
    decision_id: DecisionId;
    decision_digest: Digest;
    document: Json<Decision>;
    envelope: Json<SignedEnvelope>;
    decided_at: Instant;
    delivered_at: Nullable<Date>;
  };
  question_grant: {
    grant_id: Generated<number>;
    project_id: ProjectId;
    dataset: string;
    more: number;
    reason: string;
    granted_by: string;
    granted_at: Instant;
  };
  answered_set: {
    ordinal: Generated<number>;
    dataset: string;
    patients: Buffer;
    patient_count: number;
    fingerprint: Buffer;
    noise_std_dev: number;
    noisy_count: number;
    answered_at: Instant;
  };
  question_charge: {
    project_id: ProjectId;
    dataset: string;
    question_key: string;
    cost: number;
    is_shared: boolean;
    charged_at: Instant;
  };
  task: {
    task_id: TaskId;
    ordinal: Generated<number>;
    project_id: ProjectId;
    kind: SiteTask['kind'];
    run_id: Nullable<RunId>;
    round: Nullable<number>;
    step: Nullable<StepKind>;
    state: SiteTaskState;
    envelope: Json<SignedEnvelope>;
    received_at: Instant;
    answer_kind: Nullable<AnswerBody['kind']>;
    answer_envelope: JsonOrNull<SignedEnvelope>;
    answer_files: JsonOrNull<AnswerFile[]>;
    done_at: Nullable<Date>;
    delivered_at: Nullable<Date>;
  };
  record_numbering: { dataset: string; file_id: string; patient_count: number };
  run_snapshot: {
    run_id: RunId;
    project_id: ProjectId;
    content_digest: Digest;
    schema: Json<DatasetSchema>;
    features: Json<FeatureSpec>;
    facts: Json<SnapshotFacts>;
    moments: Json<MomentsMessage>;
    train_row_count: number;
    test_row_count: number;
    prepared_at: Instant;
    used_at: Instant;
  };
  counted_run: { run_id: RunId; project_id: ProjectId; decision_digest: Digest; counted_at: Instant };
  released_rows: {
    ordinal: Generated<number>;
    dataset: string;
    patients: Buffer;
    patient_count: number;
    columns: Json<string[]>;
    sums: Buffer;
    released_at: Instant;
  };
  run_control: { run_id: RunId; round: number; digest: Digest };
};

/** The pool, or a transaction on it: a store function takes either, so that its caller decides what commits together. */
export type SiteDb = Kysely<SiteTables>;

/** A transaction: what belongs together commits together. */
export type SiteTx = Tx<SiteTables>;
