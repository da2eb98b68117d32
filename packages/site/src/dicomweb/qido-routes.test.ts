import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { JsonDataSet } from '@lantern/dicom';
import { type ImageWeb, serveImages } from '../../test/image-web.ts';
import { startTestImaging, type TestImaging } from '../../test/imaging-harness.ts';
import { fillArchive, readable } from '../../test/sample-archive.ts';

let node: TestImaging;
let web: ImageWeb;
let url = '';

before(async () => {
  node = await startTestImaging({ name: 'qido' });
  await fillArchive(node);
  web = await serveImages(node);
  url = web.url;
});

after(async () => {
  await web?.close();
  await node?.close();
});

const get = (path: string, role = 'clinician') =>
  fetch(`${url}/dicom-web${path}`, { headers: { authorization: `Bearer ${role}` } });

async function search(path: string): Promise<Record<string, string>[]> {
  const answer = await get(path);
  assert.equal(answer.status, 200, await answer.clone().text());
  return (await matchesIn(answer)).map(readable);
}

async function matchesIn(answer: Response): Promise<readonly JsonDataSet[]> {
  const matches: unknown = await answer.json();
  assert.ok(Array.isArray(matches));
  return matches;
}

/** Numbers of the studies found. */
async function studies(query: string): Promise<string[]> {
  return (await search(`/studies?${query}`)).map((one) => (one['StudyInstanceUID'] ?? '').replace('2.25.1.', ''));
}

describe('a search for studies', () => {
  it('shows of each what the standard requires, and where it is', async () => {
    assert.deepEqual(await search('/studies?PatientID=P3'), [
      {
        StudyDate: '20260315',
        StudyTime: '1030',
        AccessionNumber: 'B77',
        InstanceAvailability: 'ONLINE',
        ModalitiesInStudy: 'CT\\PT',
        ReferringPhysicianName: 'Grey^Meredith',
        TimezoneOffsetFromUTC: '',
        RetrieveURL: `${url}/dicom-web/studies/2.25.1.3`,
        PatientName: 'Müller^Änne',
        PatientID: 'P3',
        PatientBirthDate: '19610203',
        PatientSex: 'F',
        StudyInstanceUID: '2.25.1.3',
        StudyID: '3',
        NumberOfStudyRelatedSeries: '2',
        NumberOfStudyRelatedInstances: '4',
      },
    ]);
  });

  it('answers as DICOM JSON: names in groups, numbers as numbers, no value where there is none', async () => {
    const answer = await get('/studies?StudyInstanceUID=2.25.1.4');
    assert.equal(answer.headers.get('content-type'), 'application/dicom+json');
    const [match] = await matchesIn(answer);
    assert.deepEqual(match?.['00100010'], {
      vr: 'PN',
      Value: [{ Alphabetic: 'Yamada^Tarou', Ideographic: '山田^太郎', Phonetic: 'やまだ^たろう' }],
    });
    assert.deepEqual(match?.['00201208'], { vr: 'IS', Value: [2] });
    assert.deepEqual(match?.['00080201'], { vr: 'SH' });
  });

  it('matches by keyword or tag, in any case of its digits', async () => {
    assert.deepEqual(await studies('PatientName=m%C3%BCller*'), ['3']);
    assert.deepEqual(await studies('00100010=doe^j*'), ['2', '1', '5']);
    assert.deepEqual(await studies('0020000d=2.25.1.2'), ['2']);
  });

  it('takes lists of UIDs and of codes by commas', async () => {
    assert.deepEqual(await studies('StudyInstanceUID=2.25.1.2,2.25.1.5'), ['2', '5']);
    assert.deepEqual(await studies('ModalitiesInStudy=PT,MR'), ['3', '2']);
    assert.deepEqual(await studies('ModalitiesInStudy=PT%5CMR'), ['3', '2']);
  });

  it('takes date and time as one range', async () => {
    assert.deepEqual(await studies('StudyDate=20260115-20260215&StudyTime=0930-2300'), ['2', '1']);
    assert.deepEqual(await studies('StudyDate=20251231-20260115&StudyTime=235959-0900'), ['6', '5']);
    assert.deepEqual(await studies('StudyDate=20260115-&StudyTime=2230-'), ['4', '3', '2']);
  });

  it('includes further fields, and all of its level', async () => {
    const [some] = await search('/studies?PatientID=P2&includefield=StudyDescription,00081030&includefield=PatientAge');
    assert.equal(some?.['StudyDescription'], 'Study 2');
    assert.equal(some?.['PatientAge'], '');
    const [all] = await search('/studies?PatientID=P2&includefield=all');
    assert.equal(all?.['NumberOfPatientRelatedStudies'], '1');
    assert.equal(all?.['RetrieveAETitle'], 'LANTERN');
    assert.equal(all?.['Modality'], undefined);
  });

  it('gives pages in one order, says how many remain, and nothing when there are none', async () => {
    const pages = await Promise.all([0, 3, 6, 9].map((offset) => get(`/studies?limit=3&offset=${offset}`)));
    const uids = await Promise.all(
      pages.map(async (page) =>
        (await matchesIn(page)).map((match) => String(match['0020000D']?.Value?.[0]).replace('2.25.1.', '')),
      ),
    );
    assert.deepEqual(uids, [['4', '3', '2'], ['6', '1', '5'], ['7'], []]);
    assert.deepEqual(
      pages.map((page) => page.headers.get('warning')),
      [
        `299 ${url}/dicom-web: There are 4 additional results that can be requested`,
        `299 ${url}/dicom-web: There are 1 additional results that can be requested`,
        null,
        null,
      ],
    );
    assert.deepEqual(await studies('limit=0'), []);
  });

  it('is an empty list and a success where nothing matches', async () => {
    const answer = await get('/studies?PatientID=nobody');
    assert.equal(answer.status, 200);
    assert.equal(await answer.text(), '[]');
  });

  it('warns of what it did not do', async () => {
    const fuzzy = await get('/studies?PatientName=doe*&fuzzymatching=true');
    assert.match(
      fuzzy.headers.get('warning') ?? '',
      /^299 \S+: The fuzzymatching parameter is not supported\. Only literal/,
    );
    const ignored = await get('/studies?Modality=XX&00091001=1&EthnicGroup=a');
    assert.equal((await matchesIn(ignored)).length, 7);
    assert.match(ignored.headers.get('warning') ?? '', /not been matched: Modality 00091001 00102160$/);
    assert.equal((await get('/studies?PatientName=doe*&fuzzymatching=false')).headers.get('warning'), null);
  });
});

describe('a search below studies', () => {
  it('finds the series of a study and of all', async () => {
    assert.deepEqual(await search('/studies/2.25.1.3/series?Modality=PT'), [
      {
        InstanceAvailability: 'ONLINE',
        Modality: 'PT',
        TimezoneOffsetFromUTC: '',
        SeriesDescription: 'Series 2',
        RetrieveURL: `${url}/dicom-web/studies/2.25.1.3/series/2.25.1.3.2`,
        SeriesInstanceUID: '2.25.1.3.2',
        SeriesNumber: '2',
        StudyInstanceUID: '2.25.1.3',
        NumberOfSeriesRelatedInstances: '2',
        PerformedProcedureStepStartDate: '',
        PerformedProcedureStepStartTime: '',
        RequestAttributesSequence: '{"ScheduledProcedureStepID":"SPS1","RequestedProcedureID":"RP3"}',
      },
    ]);
    const all = await search('/series?PatientName=doe*&Modality=CT');
    assert.deepEqual(
      all.map((one) => [one['SeriesInstanceUID'], one['PatientID'], one['NumberOfStudyRelatedInstances']]),
      [
        ['2.25.1.1.1', 'P1', '4'],
        ['2.25.1.1.2', 'P1', '4'],
        ['2.25.1.6.1', 'P6', '2'],
      ],
    );
  });

  it('finds series by an element of their request', async () => {
    const byRequest = (query: string) => search(`/series?${query}`);
    assert.equal((await byRequest('RequestAttributesSequence.RequestedProcedureID=RP3')).length, 2);
    assert.equal((await byRequest('00400275.00401001=RP*&00400275.ScheduledProcedureStepID=SPS1')).length, 4);
    assert.equal((await byRequest('RequestAttributesSequence.RequestedProcedureID=RP1&SeriesNumber=2')).length, 1);
  });

  it('finds the instances of a series, of a study and of all', async () => {
    assert.deepEqual(await search('/studies/2.25.1.3/series/2.25.1.3.2/instances?InstanceNumber=2'), [
      {
        SOPClassUID: '1.2.840.10008.5.1.4.1.1.2',
        SOPInstanceUID: '2.25.1.3.2.2',
        InstanceAvailability: 'ONLINE',
        TimezoneOffsetFromUTC: '',
        RetrieveURL: `${url}/dicom-web/studies/2.25.1.3/series/2.25.1.3.2/instances/2.25.1.3.2.2`,
        StudyInstanceUID: '2.25.1.3',
        SeriesInstanceUID: '2.25.1.3.2',
        InstanceNumber: '2',
        NumberOfFrames: '',
        Rows: '8',
        Columns: '8',
      },
    ]);
    const ofStudy = await search('/studies/2.25.1.3/instances');
    assert.equal(ofStudy.length, 4);
    assert.equal(ofStudy[0]?.['Modality'], 'CT');
    assert.equal(ofStudy[0]?.['PatientID'], undefined);
    const ofAll = await search('/instances?SOPInstanceUID=2.25.1.5.1.1');
    assert.equal(ofAll[0]?.['PatientID'], 'P1');
    assert.deepEqual(await search('/studies/2.25.1.99/instances'), []);
  });
});

describe('a search is refused', () => {
  const refused = async (query: string, message: RegExp) => {
    const answer = await get(`/studies?${query}`);
    assert.equal(answer.status, 400, query);
    assert.match(Object(await answer.json()).error.message, message);
  };

  it('naming the parameter, and nothing of its value', async () => {
    await refused('PatientNam=x', /PatientNam is neither a keyword nor a tag/);
    await refused("x'%3B--%0A=1", /x.*is neither/);
    await refused('StudyDate=2026-1-1', /^StudyDate: is no range\.$/);
    await refused('StudyDate=last+week', /^StudyDate: is no date/);
    await refused('PatientName=a%00b', /^PatientName: holds control characters\.$/);
    await refused('PatientName=a%3Db%3Dc%3Dd', /^PatientName: has more than three/);
    await refused(`PatientID=${'x'.repeat(1025)}`, /^PatientID: is longer than 1024/);
    await refused('PatientID=a&PatientID=b', /PatientID may not be repeated/);
    await refused('limit=-1', /limit is no whole number/);
    await refused('offset=1e9', /offset is no whole number/);
    await refused('includefield=Nonsense', /Nonsense is neither/);
    await refused('RequestAttributesSequence.CodeSequence.CodeValue=1', /is neither|deeper/);
    await refused(
      `${Array.from({ length: 300 }, (_, index) => `${(0x00181000 + index).toString(16).padStart(8, '0')}=`).join('&')}`,
      /more than 256/,
    );
  });

  it('to who may not look at images', async () => {
    assert.equal((await get('/studies', 'governance')).status, 403);
    assert.equal((await fetch(`${url}/dicom-web/studies`)).status, 401);
    for (const role of ['admin', 'data-engineer', 'clinician']) assert.equal((await get('/studies', role)).status, 200);
  });

  it('below what is no UID', async () => {
    assert.equal((await get('/studies/..%2F1/series')).status, 400);
  });
});

it('a search leaves a record of who asked by which keys, and no value', async () => {
  await search('/series?PatientName=doe*&StudyDate=20260101-&StudyTime=10-');
  const { rows } = await node.database.pool.query(
    "select actor, details from audit_record where action = 'images.find' order by sequence desc limit 1",
  );
  assert.equal(rows[0].actor, 'user:clinician');
  assert.deepEqual(JSON.parse(rows[0].details), { level: 'SERIES', keys: 'PatientName StudyDate StudyTime', count: 4 });
});
