/** Every operation of a site: for its own people (tokens) and for its EHR (CDS Hooks). Nothing here is reachable for the hub. */
import { type Static, Type } from 'typebox';
import { BundleManifestSchema } from './bundle.ts';
import { CDM_PASS_API } from './cdm-passes.ts';
import { CdsFeedbackSchema, CdsRequestSchema, CdsResponseSchema, CdsServiceSchema } from './cds-hooks.ts';
import { COMMON_API, OkSchema } from './common-api.ts';
import { DatasetNameSchema, DatasetOfferSchema, DatasetSchemaSchema, FeasibilityPolicySchema } from './dataset.ts';
import { DATASET_BUILD_API } from './dataset-builds.ts';
import { NewDecisionSchema, SiteProjectSchema } from './decision.ts';
import { DisclosureFindingSchema } from './disclosure.ts';
import { endpoint } from './endpoint.ts';
import { HL7_FEED_API } from './hl7-feed.ts';
import { UPLOAD_CHUNK_BYTES_MAX, type UploadOffset } from './hub-api.ts';
import { DigestSchema, IdSchema } from './ids.ts';
import { EvaluationMetricsSchema, RunPlanSchema } from './run.ts';
import { SignedEnvelopeSchema } from './signed-envelope.ts';
import type { DeploymentState, SiteTaskState } from './states.ts';
import { STUDY_PULL_API } from './study-pull.ts';
import { TrainingBoundsSchema } from './training-bounds.ts';

export const IMPORT_CHUNK_BYTES_MAX = UPLOAD_CHUNK_BYTES_MAX; // the same resumable upload inside the hospital

export const NewDatasetSchema = Type.Object(
  {
    schema: DatasetSchemaSchema,
    source: Type.Object(
      { digest: DigestSchema, format: Type.Union([Type.Literal('csv'), Type.Literal('parquet')]) },
      { additionalProperties: false },
    ),
    feasibility: FeasibilityPolicySchema,
  },
  { additionalProperties: false },
);
export type NewDataset = Static<typeof NewDatasetSchema>;

/** A dataset as its own hospital sees it: sizes are exact inside the walls. */
export const RegisteredDatasetSchema = Type.Object(
  {
    offer: DatasetOfferSchema,
    contentDigest: DigestSchema,
    rowCount: Type.Integer({ minimum: 0 }),
    patientCount: Type.Integer({ minimum: 0 }),
    registeredBy: Type.String(),
    registeredAt: Type.String({ format: 'date-time' }),
  },
  { additionalProperties: false },
);
export type RegisteredDataset = Static<typeof RegisteredDatasetSchema>;

export const SiteActivitySchema = Type.Object(
  {
    taskId: IdSchema('TaskId'),
    kind: Type.String(),
    projectId: IdSchema('ProjectId'),
    runId: Type.Optional(IdSchema('RunId')),
    round: Type.Optional(Type.Integer()),
    step: Type.Optional(Type.String()),
    state: Type.Unsafe<SiteTaskState>(Type.String()),
    answer: Type.Optional(Type.String({ description: 'kind of the answer' })),
    receivedAt: Type.String({ format: 'date-time' }),
    deliveredAt: Type.Optional(Type.String({ format: 'date-time' })),
  },
  { additionalProperties: false },
);
export type SiteActivity = Static<typeof SiteActivitySchema>;

/** Training on this site's rows alone, by its own staff; nothing leaves. */
export const NewLocalRunSchema = Type.Object(
  { projectId: IdSchema('ProjectId'), plan: RunPlanSchema },
  { additionalProperties: false },
);
export type NewLocalRun = Static<typeof NewLocalRunSchema>;
export const LocalRunSchema = Type.Object(
  { metrics: EvaluationMetricsSchema, trainRowCount: Type.Integer() },
  { additionalProperties: false },
);
export type LocalRun = Static<typeof LocalRunSchema>;

export const DeploymentSchema = Type.Object(
  {
    deploymentId: IdSchema('DeploymentId'),
    modelVersionId: IdSchema('ModelVersionId'),
    model: Type.String(),
    version: Type.Integer(),
    serviceId: Type.String(),
    state: Type.Unsafe<DeploymentState>(Type.String()),
    deployedBy: Type.String(),
    deployedAt: Type.String({ format: 'date-time' }),
    retirementNoticedAt: Type.Optional(
      Type.String({
        format: 'date-time',
        description: 'the hub has retired this version; the site decides what follows',
      }),
    ),
    envelope: SignedEnvelopeSchema,
  },
  { additionalProperties: false },
);
export type Deployment = Static<typeof DeploymentSchema>;

/** One answered CDS request: which model version, what came out, what the clinician did with it. No patient data. */
export const ConsultationSchema = Type.Object(
  {
    consultationId: IdSchema('ConsultationId'),
    deploymentId: IdSchema('DeploymentId'),
    cardUuid: Type.String(),
    result: Type.Union([Type.Literal('risk'), Type.Literal('input-missing'), Type.Literal('input-impossible')]),
    at: Type.String({ format: 'date-time' }),
    outcome: Type.Optional(Type.Union([Type.Literal('accepted'), Type.Literal('overridden')])),
    overrideCode: Type.Optional(Type.String()),
    outcomeAt: Type.Optional(Type.String({ format: 'date-time' })),
    hasComment: Type.Optional(
      Type.Literal(true, { description: 'the clinician wrote a comment, which is in the record system alone' }),
    ),
  },
  { additionalProperties: false },
);
export type Consultation = Static<typeof ConsultationSchema>;

export const NewCdsClientSchema = Type.Object(
  {
    issuer: Type.String({ minLength: 1, maxLength: 256, description: "iss of the EHR's JWTs" }),
    publicKeyPem: Type.String({ minLength: 50, maxLength: 2000 }),
    algorithm: Type.Union([Type.Literal('EdDSA'), Type.Literal('ES256'), Type.Literal('ES384'), Type.Literal('RS384')]),
  },
  { additionalProperties: false },
);
export type NewCdsClient = Static<typeof NewCdsClientSchema>;

export const HubLinkSchema = Type.Object(
  {
    siteId: IdSchema('SiteId'),
    siteName: Type.String(),
    hubUrl: Type.String(),
    hubName: Type.String(),
    connected: Type.Boolean(),
    lastContactAt: Type.Optional(Type.String({ format: 'date-time' })),
    lastError: Type.Optional(
      Type.Object({ code: Type.String(), message: Type.String() }, { additionalProperties: false }),
    ),
  },
  { additionalProperties: false },
);
export type HubLink = Static<typeof HubLinkSchema>;

/** What the site sent to its hub, by the messages of the egress table. */
const SentMessagesSchema = Type.Object(
  {
    since: Type.String({ format: 'date-time', description: 'when this process started; counts begin there' }),
    messages: Type.Array(
      Type.Object(
        { message: Type.String(), operation: Type.String(), count: Type.Integer({ minimum: 1 }) },
        { additionalProperties: false },
      ),
    ),
  },
  { additionalProperties: false },
);
export type SentMessages = Static<typeof SentMessagesSchema>;

const datasetParams = Type.Object({ dataset: DatasetNameSchema });
const projectParams = Type.Object({ projectId: IdSchema('ProjectId') });
const digestParams = Type.Object({ digest: DigestSchema });
const deploymentParams = Type.Object({ deploymentId: IdSchema('DeploymentId') });
const serviceParams = Type.Object({ serviceId: Type.String({ pattern: '^[a-z][a-z0-9-]{0,62}$' }) });
const uploadOffset = Type.Unsafe<UploadOffset>(
  Type.Object({ offset: Type.Integer({ minimum: 0 }), complete: Type.Boolean() }, { additionalProperties: false }),
);

export const SITE_API = {
  ...COMMON_API,
  ...STUDY_PULL_API,
  ...HL7_FEED_API,
  ...CDM_PASS_API,
  ...DATASET_BUILD_API,
  readHubLink: endpoint({
    method: 'GET',
    path: '/api/v1/hub-link',
    summary: 'Which hub this site joined and whether it answers',
    response: HubLinkSchema,
  }),
  listSentMessages: endpoint({
    method: 'GET',
    path: '/api/v1/sent-messages',
    summary: 'Every kind of message this site sent to its hub since it started, also where the hub did not answer',
    response: SentMessagesSchema,
  }),
  importOffset: endpoint({
    method: 'GET',
    path: '/api/v1/imports/:digest',
    summary: 'How much of a file is already here',
    params: digestParams,
    response: uploadOffset,
  }),
  appendImport: endpoint({
    method: 'PATCH',
    path: '/api/v1/imports/:digest',
    summary: 'Append bytes of a file at an offset',
    params: digestParams,
    query: Type.Object({ offset: Type.Integer({ minimum: 0 }), sizeBytes: Type.Integer({ minimum: 0 }) }),
    response: uploadOffset,
  }),
  registerDataset: endpoint({
    method: 'POST',
    path: '/api/v1/datasets',
    summary: 'Check an imported table against its schema and offer it',
    body: NewDatasetSchema,
    response: RegisteredDatasetSchema,
  }),
  listDatasets: endpoint({
    method: 'GET',
    path: '/api/v1/datasets',
    summary: 'Datasets of this site',
    response: Type.Object({ datasets: Type.Array(RegisteredDatasetSchema) }, { additionalProperties: false }),
  }),
  removeDataset: endpoint({
    method: 'DELETE',
    path: '/api/v1/datasets/:dataset',
    summary: 'Stop offering a dataset',
    params: datasetParams,
    response: OkSchema,
  }),
  listProjects: endpoint({
    method: 'GET',
    path: '/api/v1/projects',
    summary: 'Projects that ask this site, and where its decisions stand',
    response: Type.Object({ projects: Type.Array(SiteProjectSchema) }, { additionalProperties: false }),
  }),
  readProject: endpoint({
    method: 'GET',
    path: '/api/v1/projects/:projectId',
    summary: "One project, with this site's decision",
    params: projectParams,
    response: SiteProjectSchema,
  }),
  listProjectBundles: endpoint({
    method: 'GET',
    path: '/api/v1/projects/:projectId/bundles',
    summary: 'Manifests of the bundles a project asks for: fetched from the hub, checked against the digests it names',
    params: projectParams,
    response: Type.Object(
      {
        bundles: Type.Array(
          Type.Object({ bundleDigest: DigestSchema, manifest: BundleManifestSchema }, { additionalProperties: false }),
        ),
      },
      { additionalProperties: false },
    ),
  }),
  previewProject: endpoint({
    method: 'GET',
    path: '/api/v1/projects/:projectId/preview',
    summary:
      "What the disclosure gate would say to each algorithm on this site's rows under its defaults, and how far its training may go; stays inside",
    params: projectParams,
    response: Type.Object(
      {
        algorithms: Type.Array(
          Type.Object(
            {
              name: Type.String(),
              findings: Type.Array(DisclosureFindingSchema),
              training: Type.Optional(TrainingBoundsSchema),
            },
            { additionalProperties: false },
          ),
        ),
      },
      { additionalProperties: false },
    ),
  }),
  decide: endpoint({
    method: 'POST',
    path: '/api/v1/projects/:projectId/decision',
    summary: 'Approve, refuse or withdraw; signed by the site',
    params: projectParams,
    body: NewDecisionSchema,
    response: SiteProjectSchema,
  }),
  grantQuestions: endpoint({
    method: 'POST',
    path: '/api/v1/projects/:projectId/question-grants',
    summary: 'Grant a project more questions on a dataset after a person looked',
    params: projectParams,
    body: Type.Object(
      {
        dataset: DatasetNameSchema,
        more: Type.Integer({ minimum: 1, maximum: 1000 }),
        reason: Type.String({ minLength: 1, maxLength: 2000 }),
      },
      { additionalProperties: false },
    ),
    response: OkSchema,
  }),
  listActivity: endpoint({
    method: 'GET',
    path: '/api/v1/activity',
    summary: 'Tasks the hub sent and what this site answered',
    response: Type.Object({ tasks: Type.Array(SiteActivitySchema) }, { additionalProperties: false }),
  }),
  runLocally: endpoint({
    method: 'POST',
    path: '/api/v1/local-runs',
    summary: "Train on this site's rows alone; nothing leaves",
    body: NewLocalRunSchema,
    response: LocalRunSchema,
  }),
  deploy: endpoint({
    method: 'POST',
    path: '/api/v1/deployments',
    summary: 'Put a signed model version to work',
    body: Type.Object(
      {
        modelVersionId: IdSchema('ModelVersionId'),
        serviceId: Type.String({ pattern: '^[a-z][a-z0-9-]{0,62}$' }),
        reason: Type.String({ minLength: 1, maxLength: 2000 }),
      },
      { additionalProperties: false },
    ),
    response: DeploymentSchema,
  }),
  listDeployments: endpoint({
    method: 'GET',
    path: '/api/v1/deployments',
    summary: 'Deployments of this site',
    response: Type.Object({ deployments: Type.Array(DeploymentSchema) }, { additionalProperties: false }),
  }),
  stopDeployment: endpoint({
    method: 'POST',
    path: '/api/v1/deployments/:deploymentId/stop',
    summary: 'Take a model version out of use at once',
    params: deploymentParams,
    response: DeploymentSchema,
  }),
  listConsultations: endpoint({
    method: 'GET',
    path: '/api/v1/consultations',
    summary: 'Answered requests and what clinicians did with them',
    response: Type.Object({ consultations: Type.Array(ConsultationSchema) }, { additionalProperties: false }),
  }),
  registerCdsClient: endpoint({
    method: 'POST',
    path: '/api/v1/cds-clients',
    summary: 'Trust an EHR to call the CDS services',
    body: NewCdsClientSchema,
    response: OkSchema,
  }),

  // CDS Hooks 2.0: the paths are the specification's.
  cdsDiscovery: endpoint({
    method: 'GET',
    path: '/cds-services',
    summary: 'CDS Hooks discovery',
    response: Type.Object({ services: Type.Array(CdsServiceSchema) }),
  }),
  cdsCall: endpoint({
    method: 'POST',
    path: '/cds-services/:serviceId',
    summary: 'CDS Hooks service call',
    params: serviceParams,
    body: CdsRequestSchema,
    response: CdsResponseSchema,
  }),
  cdsFeedback: endpoint({
    method: 'POST',
    path: '/cds-services/:serviceId/feedback',
    summary: 'CDS Hooks feedback',
    params: serviceParams,
    body: CdsFeedbackSchema,
    response: Type.Object({}),
  }),
} as const;
