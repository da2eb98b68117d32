/**
 * The lifecycles of the contract are written once more, as the values that a column `state` may hold: PostgreSQL then keeps a state
 * that no table knows out of the rows, whoever writes it. This holds the two together.
 */
import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import * as contract from '@lantern/contract';
import { migrate, openTestDatabase } from '@lantern/service';

type Lifecycles = Readonly<Record<string, object>>;

const OF_HUB: Lifecycles = {
  site: contract.SITE_STATES,
  project: contract.PROJECT_STATES,
  project_decision: contract.DECISION_STATES,
  run: contract.RUN_STATES,
  round: contract.ROUND_STATES,
  task: contract.HUB_TASK_STATES,
  model_version: contract.MODEL_VERSION_STATES,
};
const OF_SITE: Lifecycles = {
  asked_project: contract.DECISION_STATES,
  task: contract.SITE_TASK_STATES,
  deployment: contract.DEPLOYMENT_STATES,
  image_arrival: contract.ARRIVAL_STATES,
  commitment_request: contract.COMMITMENT_STATES,
  study_pull_entry: contract.PULL_ENTRY_STATES,
  image_collection: contract.IMAGE_COLLECTION_STATES,
  research_study: contract.RESEARCH_STUDY_STATES,
  image_quarantine: contract.QUARANTINE_STATES,
  hl7_message: contract.FEED_MESSAGE_STATES,
  fhir_export: contract.BULK_EXPORT_STATES,
  cdm_pass: contract.CDM_PASS_STATES,
  dataset_build: contract.DATASET_BUILD_STATES,
};

/** The values that the check of each column `state` names, by its table; none where a column has no such check. */
async function statesInDatabase(owner: 'hub' | 'site'): Promise<Record<string, string[]>> {
  const database = await openTestDatabase(`states_${owner}`);
  try {
    await migrate(database, {
      name: owner,
      dir: path.resolve(import.meta.dirname, '../../packages', owner, 'migrations'),
    });
    const { rows } = await database.pool.query<{ table_name: string; definition: string | null }>(`
      select class.relname as table_name, pg_get_constraintdef(con.oid) as definition
      from pg_attribute attribute
      join pg_class class on class.oid = attribute.attrelid and class.relkind = 'r'
      left join pg_constraint con on con.conrelid = class.oid and con.contype = 'c' and con.conkey = array[attribute.attnum]
      where attribute.attname = 'state' and class.relnamespace = 'public'::regnamespace`);
    return Object.fromEntries(
      rows.map(({ table_name, definition }) => [
        table_name,
        [...(definition ?? '').matchAll(/'([^']+)'/g)].map(([, state = '']) => state).sort(),
      ]),
    );
  } finally {
    await database.close();
  }
}

describe('a column "state"', () => {
  for (const [owner, lifecycles] of [
    ['hub', OF_HUB],
    ['site', OF_SITE],
  ] as const) {
    it(`of the ${owner} takes the states of its lifecycle in the contract and no other`, async () => {
      const named = Object.entries(lifecycles).map(([table, lifecycle]) => [table, Object.keys(lifecycle).sort()]);
      assert.deepEqual(await statesInDatabase(owner), Object.fromEntries(named));
    });
  }
});
