/** Every operation of the hub: for people (tokens) and for sites (signed requests). */
import { type Static, Type } from 'typebox';
import { BundleManifestSchema } from './bundle.ts';
import { COMMON_API, OkSchema } from './common-api.ts';
import { ColumnNameSchema, DatasetNameSchema, DatasetOfferSchema } from './dataset.ts';
import { CohortQuestionSchema, ConceptsQuestionSchema, DiscoverySumsSchema } from './discovery.ts';
import { endpoint } from './endpoint.ts';
import { AnswerBodySchema } from './exchange.ts';
import { FilterSchema } from './filter.ts';
import { DigestSchema, IdSchema } from './ids.ts';
import { NewModelVersionSchema, RegisteredModelVersionSchema } from './model-version.ts';
import { ProjectSchema, ProjectSpecSchema } from './project.ts';
import { RunPlanSchema, RunSchema } from './run.ts';
import { SignedEnvelopeSchema } from './signed-envelope.ts';
import type { DecisionState, SiteState } from './states.ts';

export const TASK_WAIT_MS_MAX = 25_000; // below the 30 s at which hospital proxies commonly cut an idle request
export const TASK_BATCH_MAX = 16; // tasks handed over at once; more come with the next poll
export const UPLOAD_CHUNK_BYTES_MAX = 64 * 1024 * 1024; // one signed request; larger tensors go in several, resumable

export const SiteNameSchema = Type.String({ minLength: 1, maxLength: 100 });

export const EnrolmentRequestSchema = Type.Object(
  {
    code: Type.String({ maxLength: 128 }), // one that was cut short is as wrong as another
    name: SiteNameSchema,
    publicKeyPem: Type.String({ minLength: 50, maxLength: 500 }),
  },
  { additionalProperties: false },
);
export type EnrolmentRequest = Static<typeof EnrolmentRequestSchema>;

export const EnrolmentSchema = Type.Object(
  { siteId: IdSchema('SiteId'), name: SiteNameSchema, hubName: Type.String(), hubPublicKeyPem: Type.String() },
  { additionalProperties: false },
);
export type Enrolment = Static<typeof EnrolmentSchema>;

export const EnrolledSiteSchema = Type.Object(
  {
    siteId: IdSchema('SiteId'),
    name: SiteNameSchema,
    state: Type.Unsafe<SiteState>(Type.String()),
    enrolledAt: Type.String({ format: 'date-time' }),
    lastSeenAt: Type.Optional(Type.String({ format: 'date-time' })),
    datasets: Type.Array(DatasetOfferSchema),
  },
  { additionalProperties: false },
);
export type EnrolledSite = Static<typeof EnrolledSiteSchema>;

export const ProjectDecisionSchema = Type.Object(
  {
    siteId: IdSchema('SiteId'),
    state: Type.Unsafe<DecisionState>(Type.String()),
    envelope: Type.Optional(SignedEnvelopeSchema),
  },
  { additionalProperties: false },
);

export const ProjectDetailSchema = Type.Object(
  { project: ProjectSchema, decisions: Type.Array(ProjectDecisionSchema) },
  { additionalProperties: false },
);
export type ProjectDetail = Static<typeof ProjectDetailSchema>;

/** About a table: a count, or a summary of some columns. */
export const FilterQuestionSchema = Type.Object(
  {
    dataset: DatasetNameSchema,
    filter: FilterSchema,
    columns: Type.Optional(Type.Array(ColumnNameSchema, { minItems: 1, maxItems: 50, uniqueItems: true })),
  },
  { additionalProperties: false },
);
/** A question to the sites of a project: about a table, or about records. */
export const NewQuestionSchema = Type.Union([FilterQuestionSchema, CohortQuestionSchema, ConceptsQuestionSchema]);
export type NewQuestion = Static<typeof NewQuestionSchema>;

export const QuestionSchema = Type.Object(
  {
    questionId: IdSchema('QuestionId'),
    projectId: IdSchema('ProjectId'),
    question: NewQuestionSchema,
    complete: Type.Boolean(),
    answers: Type.Array(
      Type.Object(
        { siteId: IdSchema('SiteId'), state: Type.String(), body: Type.Optional(AnswerBodySchema) },
        { additionalProperties: false },
      ),
    ),
    sums: Type.Optional(DiscoverySumsSchema),
  },
  { additionalProperties: false },
);
export type Question = Static<typeof QuestionSchema>;

/** What a site is asked to decide. */
export const AskedProjectSchema = Type.Object(
  { projectId: IdSchema('ProjectId'), spec: ProjectSpecSchema, projectDigest: DigestSchema, state: Type.String() },
  { additionalProperties: false },
);
export type AskedProject = Static<typeof AskedProjectSchema>;

const projectParams = Type.Object({ projectId: IdSchema('ProjectId') });
const runParams = Type.Object({ runId: IdSchema('RunId') });
const digestParams = Type.Object({ digest: DigestSchema });
const modelVersionParams = Type.Object({ modelVersionId: IdSchema('ModelVersionId') });
const UploadOffsetSchema = Type.Object(
  { offset: Type.Integer({ minimum: 0 }), complete: Type.Boolean() },
  { additionalProperties: false },
);
export type UploadOffset = Static<typeof UploadOffsetSchema>;
const uploadQuery = Type.Object({ offset: Type.Integer({ minimum: 0 }), sizeBytes: Type.Integer({ minimum: 1 }) });

export const HUB_API = {
  ...COMMON_API,
  createEnrolmentCode: endpoint({
    method: 'POST',
    path: '/api/v1/enrolment-codes',
    summary: 'Create a one-time code with which one site may join',
    body: Type.Object({ siteName: SiteNameSchema }, { additionalProperties: false }),
    response: Type.Object(
      { code: Type.String(), expiresAt: Type.String({ format: 'date-time' }) },
      { additionalProperties: false },
    ),
  }),
  listSites: endpoint({
    method: 'GET',
    path: '/api/v1/sites',
    summary: 'Enrolled sites, when they were last seen, the schemas of the datasets they offer',
    response: Type.Object({ sites: Type.Array(EnrolledSiteSchema) }, { additionalProperties: false }),
  }),
  revokeSite: endpoint({
    method: 'POST',
    path: '/api/v1/sites/:siteId/revoke',
    summary: 'Revoke a site; its requests are refused from now on',
    params: Type.Object({ siteId: IdSchema('SiteId') }),
    response: OkSchema,
  }),
  uploadOffset: endpoint({
    method: 'GET',
    path: '/api/v1/uploads/:digest',
    summary: 'How much of a blob is already here',
    params: digestParams,
    response: UploadOffsetSchema,
  }),
  appendUpload: endpoint({
    method: 'PATCH',
    path: '/api/v1/uploads/:digest',
    summary: 'Append bytes to a blob at an offset; the last append verifies the digest',
    params: digestParams,
    query: uploadQuery,
    response: UploadOffsetSchema,
  }),
  readBlob: endpoint({
    method: 'GET',
    path: '/api/v1/blobs/:digest',
    summary: 'Read a blob, whole or a byte range',
    params: digestParams,
  }),
  createBundle: endpoint({
    method: 'POST',
    path: '/api/v1/bundles',
    summary: 'Register a bundle whose files were uploaded; the site checks it again',
    body: BundleManifestSchema,
    response: Type.Object({ bundleDigest: DigestSchema }, { additionalProperties: false }),
  }),
  listBundles: endpoint({
    method: 'GET',
    path: '/api/v1/bundles',
    summary: 'Registered bundles',
    response: Type.Object(
      {
        bundles: Type.Array(
          Type.Object({ bundleDigest: DigestSchema, manifest: BundleManifestSchema }, { additionalProperties: false }),
        ),
      },
      { additionalProperties: false },
    ),
  }),
  createProject: endpoint({
    method: 'POST',
    path: '/api/v1/projects',
    summary: 'Draft a project',
    body: ProjectSpecSchema,
    response: ProjectSchema,
  }),
  listProjects: endpoint({
    method: 'GET',
    path: '/api/v1/projects',
    summary: 'Projects',
    response: Type.Object({ projects: Type.Array(ProjectSchema) }, { additionalProperties: false }),
  }),
  readProject: endpoint({
    method: 'GET',
    path: '/api/v1/projects/:projectId',
    summary: 'A project and what each site said',
    params: projectParams,
    response: ProjectDetailSchema,
  }),
  submitProject: endpoint({
    method: 'POST',
    path: '/api/v1/projects/:projectId/submit',
    summary: 'Ask the sites to decide',
    params: projectParams,
    response: ProjectSchema,
  }),
  closeProject: endpoint({
    method: 'POST',
    path: '/api/v1/projects/:projectId/close',
    summary: 'Close a project; its runs stop',
    params: projectParams,
    response: ProjectSchema,
  }),
  askQuestion: endpoint({
    method: 'POST',
    path: '/api/v1/projects/:projectId/questions',
    summary: 'Ask every site of the project: a count or summary of a table, a cohort or the concepts of its records',
    params: projectParams,
    body: NewQuestionSchema,
    response: QuestionSchema,
  }),
  readQuestion: endpoint({
    method: 'GET',
    path: '/api/v1/questions/:questionId',
    summary: 'The sites answers so far; waits for the rest up to waitMs',
    params: Type.Object({ questionId: IdSchema('QuestionId') }),
    query: Type.Object({ waitMs: Type.Optional(Type.Integer({ minimum: 0, maximum: TASK_WAIT_MS_MAX })) }),
    response: QuestionSchema,
  }),
  createRun: endpoint({
    method: 'POST',
    path: '/api/v1/projects/:projectId/runs',
    summary: 'Start a run',
    params: projectParams,
    body: RunPlanSchema,
    response: RunSchema,
  }),
  listRuns: endpoint({
    method: 'GET',
    path: '/api/v1/projects/:projectId/runs',
    summary: 'Runs of a project',
    params: projectParams,
    response: Type.Object({ runs: Type.Array(RunSchema) }, { additionalProperties: false }),
  }),
  readRun: endpoint({
    method: 'GET',
    path: '/api/v1/runs/:runId',
    summary: 'A run with its rounds; waits up to waitMs until it ends or has more than afterRounds closed rounds',
    params: runParams,
    query: Type.Object({
      waitMs: Type.Optional(Type.Integer({ minimum: 0, maximum: TASK_WAIT_MS_MAX })),
      afterRounds: Type.Optional(Type.Integer({ minimum: 0 })),
    }),
    response: RunSchema,
  }),
  stopRun: endpoint({
    method: 'POST',
    path: '/api/v1/runs/:runId/stop',
    summary: 'Stop a run',
    params: runParams,
    response: RunSchema,
  }),
  releaseModelVersion: endpoint({
    method: 'POST',
    path: '/api/v1/model-versions',
    summary: 'Make a signed model version of a completed run',
    body: NewModelVersionSchema,
    response: RegisteredModelVersionSchema,
  }),
  listModelVersions: endpoint({
    method: 'GET',
    path: '/api/v1/model-versions',
    summary: 'The registry',
    response: Type.Object({ modelVersions: Type.Array(RegisteredModelVersionSchema) }, { additionalProperties: false }),
  }),
  readModelVersion: endpoint({
    method: 'GET',
    path: '/api/v1/model-versions/:modelVersionId',
    summary: 'One model version',
    params: modelVersionParams,
    response: RegisteredModelVersionSchema,
  }),
  retireModelVersion: endpoint({
    method: 'POST',
    path: '/api/v1/model-versions/:modelVersionId/retire',
    summary: 'Retire a model version',
    params: modelVersionParams,
    response: RegisteredModelVersionSchema,
  }),

  // For sites: every request carries an RFC 9421 signature. The path prefix keeps them apart from people's.
  enrol: endpoint({
    method: 'POST',
    path: '/api/v1/site/enrolment',
    summary: 'Join with a one-time code; signed with the key being enrolled',
    body: EnrolmentRequestSchema,
    response: EnrolmentSchema,
  }),
  pollTasks: endpoint({
    method: 'GET',
    path: '/api/v1/site/tasks',
    summary: 'Tasks for this site; waits up to waitMs for the first',
    query: Type.Object({ waitMs: Type.Integer({ minimum: 0, maximum: TASK_WAIT_MS_MAX }) }),
    response: Type.Object(
      { tasks: Type.Array(SignedEnvelopeSchema, { maxItems: TASK_BATCH_MAX }) },
      { additionalProperties: false },
    ),
  }),
  answerTask: endpoint({
    method: 'POST',
    path: '/api/v1/site/tasks/:taskId/answer',
    summary: 'Answer a task; the same answer again is accepted and changes nothing',
    params: Type.Object({ taskId: IdSchema('TaskId') }),
    body: SignedEnvelopeSchema,
    response: Type.Object({ ok: Type.Literal(true), counted: Type.Boolean() }, { additionalProperties: false }),
  }),
  siteReadBlob: endpoint({
    method: 'GET',
    path: '/api/v1/site/blobs/:digest',
    summary: 'Read a blob that a task of this site names, whole or a byte range',
    params: digestParams,
  }),
  siteUploadOffset: endpoint({
    method: 'GET',
    path: '/api/v1/site/uploads/:digest',
    summary: 'How much of an update is already here',
    params: digestParams,
    response: UploadOffsetSchema,
  }),
  siteAppendUpload: endpoint({
    method: 'PATCH',
    path: '/api/v1/site/uploads/:digest',
    summary: 'Append bytes of an update at an offset',
    params: digestParams,
    query: uploadQuery,
    response: UploadOffsetSchema,
  }),
  offerDatasets: endpoint({
    method: 'PUT',
    path: '/api/v1/site/datasets',
    summary: 'Say which datasets this site offers now: schemas only',
    body: Type.Object({ datasets: Type.Array(DatasetOfferSchema, { maxItems: 500 }) }, { additionalProperties: false }),
    response: OkSchema,
  }),
  listAskedProjects: endpoint({
    method: 'GET',
    path: '/api/v1/site/projects',
    summary: 'Projects that ask this site',
    response: Type.Object({ projects: Type.Array(AskedProjectSchema) }, { additionalProperties: false }),
  }),
  siteReadBundle: endpoint({
    method: 'GET',
    path: '/api/v1/site/bundles/:digest',
    summary: 'The manifest of a bundle that a project asks this site to approve',
    params: digestParams,
    response: BundleManifestSchema,
  }),
  deliverDecision: endpoint({
    method: 'POST',
    path: '/api/v1/site/decisions',
    summary: 'Deliver a signed decision',
    body: SignedEnvelopeSchema,
    response: OkSchema,
  }),
  siteReadModelVersion: endpoint({
    method: 'GET',
    path: '/api/v1/site/model-versions/:modelVersionId',
    summary: 'A signed model version, to deploy',
    params: modelVersionParams,
    response: RegisteredModelVersionSchema,
  }),
  anchorAudit: endpoint({
    method: 'POST',
    path: '/api/v1/site/audit-heads',
    summary: "Keep the signed head of this site's audit chain",
    body: SignedEnvelopeSchema,
    response: OkSchema,
  }),
} as const;
