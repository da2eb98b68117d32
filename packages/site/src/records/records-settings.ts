/** Where the records of a site lie, and who may ask about them. */
import { DatasetNameSchema, FeasibilityPolicySchema, RECORDS_DATASET_DEFAULT } from '@lantern/contract';
import { type Static, Type } from 'typebox';
import { PassSettingsSchema } from '../cdm-passes/pass-settings.ts';

export const RecordsSettingsSchema = Type.Object(
  {
    cdm: Type.String({
      minLength: 1,
      description: 'OMOP CDM 5.4: path of a DuckDB file, or postgres:// address of a database that is only read',
    }),
    schema: Type.Optional(Type.String({ minLength: 1, description: 'of its tables, where it is not the default one' })),
    dataset: Type.Unsafe<string>({
      ...DatasetNameSchema,
      default: RECORDS_DATASET_DEFAULT,
      description: 'name under which projects ask for the records',
    }),
    feasibility: Type.Unsafe<Static<typeof FeasibilityPolicySchema>>({
      ...FeasibilityPolicySchema,
      default: 'approved-projects',
      description: 'who may count: any project of the hub, or those that this site approved',
    }),
    etl: Type.Optional(PassSettingsSchema), // the CDM is made here, of the records and images of this site
  },
  { additionalProperties: false },
);
export type RecordsSettings = Static<typeof RecordsSettingsSchema>;
