import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { AppError, type DatasetSchema, SITE_API } from '@lantern/contract';
import { clinicCsv, SCHEMA } from '../../test/documents.ts';
import { type ScriptedHub, startScriptedHub } from '../../test/scripted-hub.ts';
import { startTestSite, type TestSite } from '../../test/site-harness.ts';

let hub: ScriptedHub;
let site: TestSite;

before(async () => {
  hub = await startScriptedHub();
  site = await startTestSite(hub, 'site-datasets');
});

after(async () => {
  await site?.close();
  await hub?.close();
});

/** Registers the table and expects to be refused; gives the message. */
async function refused(csv: string | Buffer, schema: DatasetSchema = SCHEMA): Promise<string> {
  try {
    await site.register({ schema, csv });
  } catch (caught) {
    assert.ok(caught instanceof AppError, String(caught));
    assert.equal(caught.code, 'dataset.invalid', caught.message);
    return caught.message;
  }
  return assert.fail('The table was accepted.');
}

const lines = clinicCsv(30).trimEnd().split('\n');
const withLine = (index: number, line: string) => lines.with(index, line).join('\n');

describe('registering a table', () => {
  it('counts rows and patients and offers the schema, without any size, to the hub', async () => {
    const twice = `${clinicCsv(30)}p0,41,120,0,1,train\n`;
    const registered = await site.register({ schema: SCHEMA, csv: twice, feasibility: 'any-project' });
    assert.equal(registered.rowCount, 31);
    assert.equal(registered.patientCount, 30);
    await hub.until(() => hub.offers.length > 0);
    assert.deepEqual(hub.offers.at(-1), [registered.offer]);
    const { datasets } = await site.as('data-engineer').call(SITE_API.listDatasets, {});
    assert.deepEqual(datasets, [registered]);
  });

  it('takes Windows line ends and a byte order mark as they come', async () => {
    const registered = await site.register({ schema: SCHEMA, csv: `\ufeff${clinicCsv(30).replaceAll('\n', '\r\n')}` });
    assert.equal(registered.rowCount, 30);
  });

  it('refuses a file that was not imported first', async () => {
    const body = {
      schema: SCHEMA,
      source: { digest: 'a'.repeat(64) as never, format: 'csv' as const },
      feasibility: 'approved-projects' as const,
    };
    await assert.rejects(site.as('data-engineer').call(SITE_API.registerDataset, { body }), { code: 'not-found' });
  });
});

describe('a table that cannot be read is refused', () => {
  it('names every line with a field too many or too few', async () => {
    const message = await refused(withLine(3, `${lines[3]},extra`).replace(lines[7] ?? '', 'p6,40'));
    assert.match(message, /line 4 of the file: more fields than the header/);
    assert.match(message, /line 8 of the file: fewer fields than the header/);
  });

  it('names the line of a quotation mark that is not closed', async () => {
    assert.match(await refused(withLine(5, '"p4,40,120,0,1,train')), /line 6 of the file: a quotation mark/);
  });

  it('names the line that is not UTF-8', async () => {
    const bytes = Buffer.from(withLine(4, 'p\u00e43,40,120,0,1,train'), 'latin1');
    assert.match(await refused(bytes), /not UTF-8/);
  });

  it('says which declared columns the file lacks', async () => {
    assert.match(await refused(clinicCsv(30).replace('pressure', 'bp')), /lacks 1 declared column: pressure\./);
    const strange = lines
      .map((line) =>
        line
          .split(',')
          .map((_, index) => `x${index}`)
          .join(','),
      )
      .join('\n');
    assert.match(await refused(strange), /lacks 6 declared columns: patient, age, pressure, sex, outcome, split\./);
  });

  it('says that another delimiter stands between the values than a comma', async () => {
    assert.match(await refused(clinicCsv(30).replaceAll(',', ';')), /separated by semicolons/);
  });

  it('names columns that are not declared by position, never by what stands there', async () => {
    const headless = lines.map((line) => `${line},SECRET-NAME`).join('\n');
    const message = await refused(headless);
    assert.match(message, /position 7/);
    assert.doesNotMatch(message, /SECRET/);
  });

  it('refuses an empty file and one with a header alone', async () => {
    assert.equal(await refused('\n'), 'The file is empty.');
    assert.equal(await refused(''), 'The file is empty.');
    assert.equal(await refused('\r\n\r\n'), 'The file is empty.');
    assert.match(await refused(`${lines[0]}\n`), /no rows/);
  });

  it('refuses a file that is not Parquet although it is said to be', async () => {
    const csv = Buffer.from(clinicCsv(12));
    const { upload } = await import('../../test/site-harness.ts');
    const digest = await upload(site.url(), site.tokens()['data-engineer'], csv);
    const body = {
      schema: SCHEMA,
      source: { digest, format: 'parquet' as const },
      feasibility: 'any-project' as const,
    };
    await assert.rejects(site.as('data-engineer').call(SITE_API.registerDataset, { body }), {
      code: 'dataset.invalid',
      message: /not a Parquet file/,
    });
  });
});

describe('a table that breaks its schema is refused', () => {
  it('names column, rule and rows of an impossible value, and not the value', async () => {
    const message = await refused(withLine(2, 'p1,431,120,0,1,train'));
    assert.match(
      message,
      /age: outside the range 18 to 110 \(unit "a"\) \(1 row: 2\)\. Row 1 is the first below the header\.$/,
    );
    assert.doesNotMatch(message, /431/);
  });

  it('suspects a wrong unit when the median is implausible although every value is possible', async () => {
    const kilopascal = clinicCsv(30).replaceAll(
      /^(p\d+,\d+),(\d+),/gm,
      (_, head, mmHg) => `${head},${Number(mmHg) * 0.45},`,
    );
    assert.match(
      await refused(kilopascal),
      / Column pressure: the median is not in 90 to 180 \(unit "mm\[Hg\]"\); wrong unit\?/,
    );
  });

  it('names a category that is not declared and a value that is missing', async () => {
    const message = await refused(withLine(6, 'p5,,120,2,1,train'));
    assert.match(message, /age: a value is missing/);
    assert.match(message, /sex: a category that the schema does not declare \(1 row: 6\)/);
  });

  it('names a text where a number belongs', async () => {
    assert.match(await refused(withLine(6, 'p5,40,high,1,1,train')), /pressure: not a number \(1 row: 6\)/);
  });
});

describe('a later version of a table', () => {
  const numbersOf = async (csv: string, schema: DatasetSchema): Promise<Map<string, number>> => {
    const { contentDigest } = await site.register({ schema, csv });
    const { openTableEngine } = await import('./table-engine.ts');
    const { openBlobStore } = await import('@lantern/service');
    const blobs = await openBlobStore({ dir: `${site.settings.dataDir}/blobs` });
    const engine = await openTableEngine({ dataDir: site.settings.dataDir, blobs, memoryMiB: 128, threads: 1 });
    try {
      const table = await engine.tableOf(contentDigest);
      const sql = `SELECT patient, CAST(_patient AS DOUBLE) AS number FROM "${table}" ORDER BY _row`;
      const rows = await engine.session(new AbortController().signal, (session) =>
        session.rows({ sql, parameters: [] }),
      );
      return new Map(rows.map((row) => [String(row['patient']), Number(row['number'])]));
    } finally {
      engine.close();
    }
  };

  it('keeps the number of every patient, and never gives a number to somebody else', async () => {
    const schema = { ...SCHEMA, name: 'versions' };
    const first = await numbersOf(clinicCsv(20), schema);
    const without = clinicCsv(20).replace(/^p19,.*\n/m, '');
    const second = await numbersOf(without, schema);
    const third = await numbersOf(`${without}a-new-patient,50,120,0,1,train\n`, schema);
    for (const [patient, number] of second) assert.equal(number, first.get(patient), patient);
    for (const [patient, number] of second) assert.equal(third.get(patient), number, patient);
    assert.equal(first.get('p19') === third.get('a-new-patient'), false);
    assert.equal(third.get('a-new-patient'), 20);
  });

  it('knows a patient whose key another program writes as a decimal', async () => {
    const schema = { ...SCHEMA, name: 'respelt' };
    const digits = clinicCsv(20).replaceAll(/^p(\d+),/gm, '$1,');
    const first = await numbersOf(digits, schema);
    const again = await numbersOf(digits.replaceAll(/^(\d+),/gm, '$1.0,'), schema);
    assert.deepEqual(again, first);
  });

  it('without a patient key knows a row by its content, also one of two equal rows', async () => {
    const schema = { ...SCHEMA, name: 'keyless', columns: SCHEMA.columns.slice(1) };
    const keyless = (csv: string) => csv.replaceAll(/^[^,]*,/gm, '');
    const registered = await site.register({ schema, csv: keyless(clinicCsv(20)) });
    assert.equal(registered.patientCount, 20);
    const rows = keyless(clinicCsv(20)).trimEnd().split('\n');
    const again = await site.register({ schema, csv: `${[rows[0], ...rows.slice(2), rows[5]].join('\n')}\n` });
    assert.equal(again.patientCount, 20);
    const row = await site.db
      .selectFrom('dataset')
      .selectAll()
      .where('name', '=', 'keyless')
      .orderBy('dataset_id', 'desc')
      .executeTakeFirstOrThrow();
    assert.equal(row.next_patient_number, 21);
  });
});

describe('removing a dataset', () => {
  it('ends its offer, and is refused when there is none', async () => {
    await site.register({ schema: { ...SCHEMA, name: 'short-lived' }, csv: clinicCsv(15) });
    const api = site.as('data-engineer');
    await api.call(SITE_API.removeDataset, { params: { dataset: 'short-lived' } });
    await hub.until(() => hub.offers.at(-1)?.every(({ schema }) => schema.name !== 'short-lived') === true);
    await assert.rejects(api.call(SITE_API.removeDataset, { params: { dataset: 'short-lived' } }), {
      code: 'not-found',
    });
  });
});
