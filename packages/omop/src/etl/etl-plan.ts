/**
 * One pass of the ETL as a list of named steps, in order, to be run in one transaction: a pass that is killed leaves the CDM as
 * it was. Reading fills the incoming tables before (see staging-tables.ts).
 */
import { eraStatements } from './era-sql.ts';
import { eventStatements } from './event-sql.ts';
import { affectedFeatures } from './feature-event-sql.ts';
import { imageFeatureStatements } from './image-feature-sql.ts';
import { imageStatements, seriesStatements } from './image-sql.ts';
import { observationPeriodStatements, personStatements } from './person-sql.ts';
import { accountStatements } from './row-account.ts';
import { absentStatements, finishStatements, takeOverStatements } from './take-over-sql.ts';
import { visitStatements } from './visit-sql.ts';

export type EtlStep = { readonly name: string; readonly statements: readonly string[] };

/**
 * isRebuild  all patients are made anew, as after a change of the vocabulary, not only those of whom something changed
 * isWhole    all that the source has was read: what was not is gone
 */
export function etlSteps({ isRebuild, isWhole }: { isRebuild: boolean; isWhole: boolean }): EtlStep[] {
  return [
    { name: 'compare', statements: [...(isWhole ? absentStatements() : []), ...takeOverStatements(isRebuild)] },
    {
      name: 'people and places',
      statements: [
        `CREATE OR REPLACE TEMP TABLE new_finding (resource_key varchar, person_key varchar, severity varchar, rule varchar,
  system varchar, code varchar)`,
        ...personStatements(),
      ],
    },
    { name: 'visits', statements: visitStatements() },
    { name: 'series', statements: [...seriesStatements(), affectedFeatures()] },
    { name: 'events', statements: eventStatements() },
    { name: 'images', statements: [...imageStatements(), ...imageFeatureStatements()] },
    { name: 'eras', statements: [...eraStatements(), ...observationPeriodStatements()] },
    { name: 'account', statements: [...accountStatements(), ...finishStatements()] },
  ];
}
