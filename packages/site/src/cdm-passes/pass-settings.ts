/** How a site makes its own CDM. */
import { type Static, Type } from 'typebox';

export const PassSettingsSchema = Type.Object(
  {
    vocabulary: Type.String({
      minLength: 1,
      description: 'folder of the vocabulary, as Athena gives it; another content is taken over by the next pass',
    }),
    everyMinutes: Type.Integer({
      default: 15,
      minimum: 1,
      maximum: 10_080,
      description: 'how long after the end of a pass the next one begins',
    }),
    patientNumbers: Type.Array(
      Type.Object(
        {
          issuer: Type.Optional(
            Type.String({ minLength: 1, description: 'IssuerOfPatientID of images; absent: of images that name none' }),
          ),
          system: Type.String({ minLength: 1, description: 'system of the identifiers of Patient that it means' }),
        },
        { additionalProperties: false },
      ),
      { default: [], description: 'whose patient numbers images carry; those of no authority here match nobody' },
    ),
    memoryMiB: Type.Integer({
      default: 1024,
      minimum: 128,
      maximum: 1_048_576,
      description: 'of a pass, beside questions',
    }),
    threads: Type.Integer({ default: 2, minimum: 1, maximum: 1024 }),
  },
  { additionalProperties: false },
);
export type PassSettings = Static<typeof PassSettingsSchema>;
