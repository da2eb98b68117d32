import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { type Instance, openAssociation, STATUS, storingContexts } from '@lantern/dicom';
import { OWN_AE, PEER_AE, startTestImaging, type TestImaging } from '../../test/imaging-harness.ts';
import { CT_IMAGE_STORAGE, syntheticInstance } from '../../test/synthetic-images.ts';

let node: TestImaging;

before(async () => {
  node = await startTestImaging({ name: 'store-scp' });
});

after(async () => {
  await node?.close();
});

async function send(instances: readonly Instance[], titles: { callingAe?: string; calledAe?: string } = {}) {
  const client = await openAssociation({
    host: '127.0.0.1',
    port: node.port,
    calledAe: OWN_AE,
    callingAe: PEER_AE,
    contexts: storingContexts(instances),
    ...titles,
  });
  const statuses: number[] = [];
  for (const instance of instances) statuses.push((await client.store(instance)).status);
  await client.release();
  return statuses;
}

async function rowOf(sopInstance: string) {
  const { rows } = await node.database.pool.query(
    `select file, data_set_start, data_set_bytes::int, calling_ae, image_rows, instance_number, modality, patient_name, called_ae
     from image_instance join image_series using (series_key) join image_study using (study_key) join image_arrival using (arrival_id)
     where sop_instance_uid = $1`,
    [sopInstance],
  );
  return rows;
}

function filesOnDisk(): string[] {
  return readdirSync(node.imaging.archive.files.dir, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.dcm'),
  );
}

describe('an instance that arrives by C-STORE', () => {
  it('is kept as it was sent, in a file of PS3.10, and indexed', async () => {
    const instance = syntheticInstance({ study: 1, series: 2, number: 3, pixelBytes: 900_002 });
    assert.deepEqual(await send([instance]), [STATUS.success]);
    const [row, ...others] = await rowOf(instance.sopInstance);
    assert.equal(others.length, 0);
    const file = readFileSync(node.imaging.archive.files.pathOf(row.file));
    assert.equal(file.toString('latin1', 128, 132), 'DICM');
    assert.ok(file.subarray(row.data_set_start).equals(instance.content));
    assert.equal(row.data_set_bytes, instance.content.byteLength);
    const { calling_ae, called_ae, modality, patient_name, image_rows, instance_number } = row;
    assert.deepEqual(
      { calling_ae, called_ae, modality, patient_name, image_rows, instance_number },
      {
        calling_ae: PEER_AE,
        called_ae: OWN_AE,
        modality: 'CT',
        patient_name: 'Doe^Jane^1',
        image_rows: 670,
        instance_number: 3,
      },
    );
  });

  it('is a success when it comes again with the same content, and is kept once', async () => {
    const instance = syntheticInstance({ study: 2, series: 1, number: 1 });
    const count = filesOnDisk().length;
    assert.deepEqual(await send([instance, instance]), [STATUS.success, STATUS.success]);
    assert.deepEqual(await send([instance]), [STATUS.success]);
    assert.equal((await rowOf(instance.sopInstance)).length, 1);
    assert.equal(filesOnDisk().length, count + 1);
  });

  it('is refused and kept beside when its UID is taken by other content, once however often it comes', async () => {
    const first = syntheticInstance({ study: 3, series: 1, number: 1, patientName: 'First^Person' });
    const other = syntheticInstance({ study: 3, series: 1, number: 1, patientName: 'Other^Person' });
    assert.deepEqual(await send([first]), [STATUS.success]);
    const count = filesOnDisk().length;
    assert.deepEqual(await send([other, other]), [STATUS.duplicateSopInstance, STATUS.duplicateSopInstance]);
    assert.equal(filesOnDisk().length, count + 1);
    const [row] = await rowOf(first.sopInstance);
    assert.ok(
      readFileSync(node.imaging.archive.files.pathOf(row.file)).subarray(row.data_set_start).equals(first.content),
    );
    const { rows } = await node.database.pool.query(
      'select file, data_set_start from image_conflict where sop_instance_uid = $1',
      [first.sopInstance],
    );
    assert.equal(rows.length, 1);
    assert.ok(
      readFileSync(node.imaging.archive.files.pathOf(rows[0].file))
        .subarray(rows[0].data_set_start)
        .equals(other.content),
    );
  });

  it('is refused when the message names another UID than the data set, and nothing is left of it', async () => {
    const count = filesOnDisk().length;
    const instance = { ...syntheticInstance({ study: 4, series: 1, number: 1 }), sopInstance: '2.25.99' };
    assert.deepEqual(await send([instance]), [STATUS.dataSetDoesNotMatchSopClass]);
    assert.equal(filesOnDisk().length, count);
  });

  it('is refused when it has no study', async () => {
    const instance: Instance = {
      ...syntheticInstance({ study: 5, series: 1, number: 1 }),
      sopClass: CT_IMAGE_STORAGE,
      async *open() {
        yield Buffer.from('0800050043530a0049534f5f49522031393220', 'hex').subarray(0, 18);
      },
    };
    assert.deepEqual(await send([instance]), [STATUS.dataSetDoesNotMatchSopClass]);
  });

  it('belongs to one study however many associations bring it', async () => {
    const images = Array.from({ length: 60 }, (_, number) =>
      syntheticInstance({ study: 6, series: number % 3, number }),
    );
    const parts = Array.from({ length: 8 }, (_, part) => images.filter((_image, index) => index % 8 === part));
    const statuses = (await Promise.all(parts.map((part) => send(part)))).flat();
    assert.ok(statuses.every((status) => status === STATUS.success));
    const { rows } = await node.database.pool.query(
      `select count(distinct study_key)::int as studies, count(distinct series_key)::int as series, count(*)::int as instances
       from image_instance join image_series using (series_key) join image_study using (study_key)
       where study_instance_uid = '2.25.1.6'`,
    );
    assert.deepEqual(rows, [{ studies: 1, series: 3, instances: 60 }]);
  });
});

describe('a peer', () => {
  it('that is not known, or calls another title, gets no association', async () => {
    const instance = syntheticInstance({ study: 7, series: 1, number: 1 });
    await assert.rejects(send([instance], { callingAe: 'STRANGER' }), { code: 'refused' });
    await assert.rejects(send([instance], { calledAe: 'ELSEWHERE' }), { code: 'refused' });
    assert.deepEqual(await rowOf(instance.sopInstance), []);
  });
});
