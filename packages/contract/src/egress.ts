/**
 * Everything a site sends to its hub: nothing else leaves a hospital. `docs/ARCHITECTURE.md` prints this table and a test
 * keeps the two equal; the site's outbound client accepts only the operations named here.
 */
import { type AnswerBody, AnswerBodySchema } from './exchange.ts';
import type { HUB_API } from './hub-api.ts';
import type { EgressKind } from './project.ts';

export type EgressRow = {
  readonly message: string;
  readonly operation: keyof typeof HUB_API;
  readonly answerKind?: AnswerBody['kind'];
  /** The kind a project must have asked for and a decision allowed; `undefined`: needs no project. */
  readonly egress?: EgressKind;
  readonly holds: string;
  readonly whyNoPatientData: string;
  readonly gate: string;
  readonly approvedBy: string;
};

export const EGRESS_TABLE: readonly EgressRow[] = [
  {
    message: 'enrolment',
    operation: 'enrol',
    holds: 'one-time code, site name, public key',
    whyNoPatientData: 'made before any data is there',
    gate: 'none needed',
    approvedBy: 'the person who joins the site',
  },
  {
    message: 'task poll',
    operation: 'pollTasks',
    holds: 'how long to wait',
    whyNoPatientData: 'fixed fields',
    gate: 'none needed',
    approvedBy: 'joining the hub',
  },
  {
    message: 'asked projects',
    operation: 'listAskedProjects',
    holds: 'nothing',
    whyNoPatientData: 'no content',
    gate: 'none needed',
    approvedBy: 'joining the hub',
  },
  {
    message: 'bundle manifest, model version and weights read',
    operation: 'siteReadBlob',
    holds: 'a digest and a byte range',
    whyNoPatientData: 'names what the hub already has',
    gate: 'none needed',
    approvedBy: 'joining the hub',
  },
  {
    message: 'bundle manifest read',
    operation: 'siteReadBundle',
    holds: 'a digest',
    whyNoPatientData: 'names what the hub already has',
    gate: 'none needed',
    approvedBy: 'joining the hub',
  },
  {
    message: 'model version read',
    operation: 'siteReadModelVersion',
    holds: 'a model version id',
    whyNoPatientData: 'names what the hub already has',
    gate: 'none needed',
    approvedBy: 'joining the hub',
  },
  {
    message: 'dataset offers',
    operation: 'offerDatasets',
    holds: 'schemas: columns, units, categories, declared ranges; no sizes',
    whyNoPatientData: 'written by a person, not computed from rows',
    gate: 'none needed',
    approvedBy: 'data engineer who registered the dataset',
  },
  {
    message: 'decision',
    operation: 'deliverDecision',
    holds: 'verdict, conditions, keyed hashes of dataset versions, reason, name of the account',
    whyNoPatientData: 'written by a person; the hashes are keyed at the site',
    gate: 'none needed',
    approvedBy: 'governance lead who signed it',
  },
  {
    message: 'audit head',
    operation: 'anchorAudit',
    holds: 'sequence number and hash',
    whyNoPatientData: 'a hash over records that hold none',
    gate: 'none needed',
    approvedBy: 'joining the hub',
  },
  {
    message: 'update bytes',
    operation: 'siteAppendUpload',
    egress: 'weight-update',
    holds: 'safetensors above 16 KiB, named by the signed answer that follows',
    whyNoPatientData: 'sums over many patients; see what is not claimed',
    gate: 'statistics of an approved run; clipped when the decision says so',
    approvedBy: 'signed decision',
  },
  {
    message: 'upload offset',
    operation: 'siteUploadOffset',
    egress: 'weight-update',
    holds: 'a digest',
    whyNoPatientData: 'a hash',
    gate: 'none needed',
    approvedBy: 'signed decision',
  },
  {
    message: 'count',
    operation: 'answerTask',
    answerKind: 'count',
    egress: 'counts',
    holds: 'one released count, questions left',
    whyNoPatientData: 'suppressed, noised, rounded, snapped',
    gate: 'counts and tables',
    approvedBy: 'dataset open to any project, or signed decision',
  },
  {
    message: 'summary',
    operation: 'answerTask',
    answerKind: 'summary',
    egress: 'counts',
    holds: 'released tables over declared categories and bins',
    whyNoPatientData: 'suppressed, noised, rounded, snapped',
    gate: 'counts and tables',
    approvedBy: 'dataset open to any project, or signed decision',
  },
  {
    message: 'cohort',
    operation: 'answerTask',
    answerKind: 'cohort',
    egress: 'counts',
    holds:
      'released counts of a cohort and of its attrition, released tables over fixed cells and over public concepts',
    whyNoPatientData: 'opt-outs left out; suppressed, noised, rounded, snapped; a concept is named only with its count',
    gate: 'counts and tables',
    approvedBy: 'records open to any project, or signed decision',
  },
  {
    message: 'concepts',
    operation: 'answerTask',
    answerKind: 'concepts',
    egress: 'counts',
    holds: 'ids and public names of concepts with their released counts',
    whyNoPatientData: 'opt-outs left out; suppressed, noised, rounded, snapped; a concept is named only with its count',
    gate: 'counts and tables',
    approvedBy: 'records open to any project, or signed decision',
  },
  {
    message: 'prepared',
    operation: 'answerTask',
    answerKind: 'prepared',
    egress: 'cohort-size',
    holds: 'schema digest, number of training and test rows',
    whyNoPatientData: 'two totals at or above the threshold',
    gate: 'statistics of an approved run',
    approvedBy: 'signed decision',
  },
  {
    message: 'moments',
    operation: 'answerTask',
    answerKind: 'moments',
    egress: 'moments',
    holds: 'count, mean and sum of squared deviations per feature',
    whyNoPatientData: 'sums over many patients',
    gate: 'statistics of an approved run',
    approvedBy: 'signed decision',
  },
  {
    message: 'newton statistics',
    operation: 'answerTask',
    answerKind: 'newton',
    egress: 'newton-statistics',
    holds: 'gradient, Hessian, log-likelihood',
    whyNoPatientData: 'sums carried by at least the threshold of rows; see what is not claimed',
    gate: 'statistics of an approved run',
    approvedBy: 'signed decision',
  },
  {
    message: 'update',
    operation: 'answerTask',
    answerKind: 'update',
    egress: 'weight-update',
    holds: 'the update when it is small, else its digest; rows, steps, mean loss',
    whyNoPatientData: 'sums over many patients; see what is not claimed',
    gate: 'statistics of an approved run; clipped when the decision says so',
    approvedBy: 'signed decision',
  },
  {
    message: 'evaluation',
    operation: 'answerTask',
    answerKind: 'evaluation',
    egress: 'evaluation',
    holds: 'score histograms by true class, error sums',
    whyNoPatientData: 'a class held by too few patients is withheld with every metric that needs it',
    gate: 'statistics of an approved run',
    approvedBy: 'signed decision',
  },
  {
    message: 'refusal',
    operation: 'answerTask',
    answerKind: 'refused',
    holds: 'rule, limit, words of the schema',
    whyNoPatientData: 'never the small number itself',
    gate: 'fixed texts',
    approvedBy: 'none: a refusal may always leave',
  },
  {
    message: 'failure',
    operation: 'answerTask',
    answerKind: 'failed',
    holds: 'error code and fixed message',
    whyNoPatientData: 'messages name field and rule, never a value',
    gate: 'fixed texts',
    approvedBy: 'none: a failure may always leave',
  },
];

/** Every kind of answer that the schema knows; the test compares it with the table. */
export function answerKinds(): string[] {
  return AnswerBodySchema.anyOf.map((member) => member.properties.kind.const);
}
