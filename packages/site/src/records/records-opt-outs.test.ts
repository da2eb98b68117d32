import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { RESEARCH_IMAGES_API } from '@lantern/contract';
import { CONCEPTS, circe, hospitalNumberOf } from '../../test/records-cdm.ts';
import { RecordsSite, TOKEN } from '../../test/records-site.ts';

const DAY_MS = 86_400_000;
let asker: RecordsSite;

before(async () => {
  asker = await RecordsSite.start('duckdb', 'site-records-opt-outs');
});
after(() => asker?.close());
beforeEach(() => asker.refill());

/** The first `count` patients, of a list that was true so many days ago. */
function load(count: number, daysAgo: number) {
  const entries = Array.from({ length: count }, (_, index) => hospitalNumberOf(index, TOKEN));
  const asOf = new Date(Date.now() - daysAgo * DAY_MS).toISOString();
  const call = { params: { list: 'patient-ids' as const }, body: { asOf, entries } };
  return asker.site.as('data-engineer').call(RESEARCH_IMAGES_API.loadOptOuts, call);
}

async function patientsIn(): Promise<number> {
  const body = await asker.cohort(circe(CONCEPTS.diabetes));
  assert.ok(body.kind === 'cohort' && body.total.kind === 'released', JSON.stringify(body));
  return body.total.value;
}

async function evidence() {
  const { rows } = await asker.site.database.pool.query(
    "select object, details from audit_record where action = 'records.count' order by sequence desc limit 1",
  );
  const [{ object, details } = { object: '', details: '{}' }] = rows;
  return { object, details: JSON.parse(details) };
}

describe('opt-outs from research', () => {
  it('are none where no list was ever loaded, which the audit log says', async () => {
    const all = await patientsIn();
    assert.ok(Math.abs(all - 400) <= 40, `${all}`);
    assert.equal((await evidence()).details.optOutLists, 'none loaded, none required');
  });

  it('are left out of every set before it is counted, by the newest list; the audit log names it and no patient', async () => {
    await load(150, 1);
    const rest = await patientsIn();
    assert.ok(Math.abs(rest - 250) <= 40, `${rest}`);
    const kept = await asker.site.db.selectFrom('answered_set').select('patient_count').orderBy('ordinal').execute();
    assert.deepEqual(
      kept.map((row) => row.patient_count),
      [400, 250],
    );
    const line = await evidence();
    assert.match(line.details.optOutLists, /^patient-ids of 20/);
    assert.equal(line.details.optOutsLeftOut, true);
    assert.ok(!JSON.stringify(line).includes(TOKEN));
    await load(200, 0.5);
    await asker.refill();
    assert.ok(Math.abs((await patientsIn()) - 200) <= 40);
  });

  it('stop every count while the list is too old', async () => {
    await asker.site.db.deleteFrom('answered_set').execute();
    await asker.site.database.pool.query("update opt_out_list set as_of = as_of - interval '20 days'");
    const body = await asker.cohort(circe(CONCEPTS.diabetes));
    assert.ok(body.kind === 'refused' && body.code === 'policy.refused');
    assert.match(body.message, /opted out .* too old/);
    const kept = await asker.site.db.selectFrom('answered_set').select('ordinal').execute();
    assert.equal(kept.length, 0);
  });
});
