/** Building datasets out of cohorts at a site. Reports are exact, and stay there. */
import { type Static, Type } from 'typebox';
import { DatasetNameSchema, FeasibilityPolicySchema } from './dataset.ts';
import { endpoint } from './endpoint.ts';
import { DatasetBuildReportSchema, FeatureSpecificationSchema } from './feature-specification.ts';
import { DigestSchema, IdSchema } from './ids.ts';
import type { DatasetBuildState } from './states.ts';

const closed = { additionalProperties: false } as const;

const NewDatasetBuildSchema = Type.Object(
  { specification: FeatureSpecificationSchema, feasibility: FeasibilityPolicySchema },
  closed,
);
export type NewDatasetBuild = Static<typeof NewDatasetBuildSchema>;

/** `contentDigest` is the version of the dataset that was registered; `cdmVersion` changes when the records do. */
const DatasetBuildSchema = Type.Object(
  {
    buildId: IdSchema('DatasetBuildId'),
    dataset: DatasetNameSchema,
    specificationDigest: DigestSchema,
    feasibility: FeasibilityPolicySchema,
    state: Type.Unsafe<DatasetBuildState>(Type.String()),
    requestedBy: Type.String(),
    requestedAt: Type.String({ format: 'date-time' }),
    endedAt: Type.Optional(Type.String({ format: 'date-time' })),
    contentDigest: Type.Optional(DigestSchema),
    cdmVersion: Type.Optional(Type.String()),
    report: Type.Optional(DatasetBuildReportSchema),
    failure: Type.Optional(Type.Object({ code: Type.String(), message: Type.String() }, closed)),
  },
  closed,
);
export type DatasetBuild = Static<typeof DatasetBuildSchema>;

const buildParams = Type.Object({ buildId: IdSchema('DatasetBuildId') });

export const DATASET_BUILD_API = {
  buildDataset: endpoint({
    method: 'POST',
    path: '/api/v1/dataset-builds',
    summary: 'Build a dataset out of a cohort of the records by a feature specification, and offer it',
    body: NewDatasetBuildSchema,
    response: DatasetBuildSchema,
  }),
  listDatasetBuilds: endpoint({
    method: 'GET',
    path: '/api/v1/dataset-builds',
    summary: 'Datasets that were built out of cohorts, newest first, with their reports',
    response: Type.Object({ builds: Type.Array(DatasetBuildSchema) }, closed),
  }),
  readDatasetBuild: endpoint({
    method: 'GET',
    path: '/api/v1/dataset-builds/:buildId',
    summary: 'Where a build stands, and its report',
    params: buildParams,
    response: DatasetBuildSchema,
  }),
} as const;
