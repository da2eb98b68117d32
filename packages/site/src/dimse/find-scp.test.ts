import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { dicomJson, SOP_CLASSES } from '@lantern/dicom';
import { OWN_AE, PEER_AE, startTestImaging, type TestImaging } from '../../test/imaging-harness.ts';
import { fillArchive, find, findRaw, identifier } from '../../test/sample-archive.ts';

let node: TestImaging;

before(async () => {
  const peers = [
    { aeTitle: PEER_AE, hosts: ['127.0.0.1'], mayQuery: true },
    { aeTitle: 'SENDER', hosts: ['127.0.0.1'], mayQuery: false },
  ];
  node = await startTestImaging({ name: 'find-scp', settings: { peers } });
  await fillArchive(node);
});

after(async () => {
  await node?.close();
});

const STUDY_KEYS = { QueryRetrieveLevel: 'STUDY', StudyInstanceUID: '' };

/** Numbers of the studies that are found, in the order in which they come. */
async function studies(keys: Record<string, string | Record<string, string>>): Promise<string[]> {
  const matches = await find(node.port, identifier({ ...STUDY_KEYS, ...keys }));
  return matches.map((match) => (match['StudyInstanceUID'] ?? '').replace('2.25.1.', ''));
}

describe('a study is found', () => {
  const cases: [title: string, keys: Record<string, string | Record<string, string>>, numbers: string[]][] = [
    ['by no key at all: every one, the newest first', {}, ['4', '3', '2', '6', '1', '5', '7']],
    ['by its patient id', { PatientID: 'P1' }, ['1', '5']],
    ['by one of several values', { PatientID: 'P2\\P3' }, ['3', '2']],
    ['by a beginning of an id', { AccessionNumber: 'A100*' }, ['4', '2', '6', '1', '5']],
    ['by a character left open', { AccessionNumber: 'A100?' }, ['4', '2', '6', '1', '5']],
    ['by an end', { AccessionNumber: '*77' }, ['3']],
    ['not by letters of another case where it is no name', { AccessionNumber: 'b77' }, []],
    ['by a name in any case', { PatientName: 'DOE^JOHN' }, ['2']],
    ['by a name with empty components at its end', { PatientName: 'Doe^Jane^^^' }, ['1', '5']],
    ['by a whole name, not by a part of it', { PatientName: 'Doe' }, ['6']],
    ['by a beginning of a name', { PatientName: 'doe*' }, ['2', '6', '1', '5']],
    ['by a family name whatever follows, also nothing', { PatientName: 'Doe^*' }, ['2', '6', '1', '5']],
    ['by a given name', { PatientName: '*^JANE' }, ['1', '5']],
    ['by letters beyond ASCII in any case', { PatientName: 'MÜLLER^ä*' }, ['3']],
    ['by a character left open beyond ASCII', { PatientName: 'm?ller*' }, ['3']],
    ['by the alphabetic name of several', { PatientName: 'yamada^tarou' }, ['4']],
    ['by the ideographic name alone', { PatientName: '山田*' }, ['4']],
    ['by a group that has its place', { PatientName: '=山田^太郎' }, ['4']],
    ['not by a group in another place', { PatientName: '==山田^太郎' }, []],
    ['not by a pattern that would cross the groups', { PatientName: 'yamada*太郎' }, []],
    ['by the name of the one who referred', { ReferringPhysicianName: 'grey*', PatientID: 'P2' }, ['2']],
    ['by a date', { StudyDate: '20260115' }, ['6', '1']],
    ['by a range of dates, ends included', { StudyDate: '20260115-20260215' }, ['2', '6', '1']],
    ['by a range without beginning', { StudyDate: '-20260114' }, ['5']],
    ['by a range without end', { StudyDate: '20260315-' }, ['4', '3']],
    ['by an hour', { StudyTime: '10' }, ['3', '1']],
    ['by a second, whatever its fraction', { StudyTime: '223000' }, ['2']],
    ['by a range of times, whatever their precision', { StudyTime: '101112-103000' }, ['3', '1']],
    ['by a range to the end of its precision', { StudyTime: '-0900' }, ['4', '6']],
    ['by the last moment of a day', { StudyTime: '2359-' }, ['5']],
    ['by date and time, each for itself', { StudyDate: '20260115-20260315', StudyTime: '-1011' }, ['6', '1']],
    ['by a modality among others', { ModalitiesInStudy: 'PT' }, ['3']],
    ['by one of several modalities', { ModalitiesInStudy: 'PT\\MR' }, ['3', '2']],
    ['by a beginning of a modality', { ModalitiesInStudy: 'C*', StudyDate: '-20260315' }, ['3', '6', '1']],
    ['by a list of UIDs', { StudyInstanceUID: '2.25.1.2\\2.25.1.5\\2.25.1.99' }, ['2', '5']],
    ['by its class of objects', { SOPClassesInStudy: '1.2.840.10008.5.1.4.1.1.2', PatientID: 'P4' }, ['4']],
    ['by per cent and underscore that stand for themselves', { StudyDescription: '100% a_b*' }, ['5']],
    ['not by per cent as a wildcard', { StudyDescription: '%' }, []],
    ['not by underscores as wildcards', { PatientID: '__' }, []],
    ['by words of SQL that are words', { StudyDescription: "*'; drop table image_study --" }, ['5']],
    ['not by an age that nothing has', { PatientAge: '045Y' }, []],
    [
      'by asterisks alone as by nothing',
      { PatientID: '**', AccessionNumber: '*' },
      ['4', '3', '2', '6', '1', '5', '7'],
    ],
    ['by any character: those that have a value', { AccessionNumber: '?*' }, ['4', '3', '2', '6', '1', '5']],
    ['whatever a key says that is not known here', { BodyPartThickness: '7', PatientID: 'P2' }, ['2']],
    ['whatever a key of a level below says', { Modality: 'XX', PatientID: 'P2' }, ['2']],
  ];
  for (const [title, keys, numbers] of cases) {
    it(title, async () => assert.deepEqual(await studies(keys), numbers));
  }
});

describe('an answer', () => {
  it('has what was asked for and nothing else, with level and title', async () => {
    const keys = {
      PatientID: 'P3',
      PatientName: '',
      StudyTime: '',
      ModalitiesInStudy: '',
      NumberOfStudyRelatedSeries: '',
    };
    const counts = { NumberOfStudyRelatedInstances: '', SOPClassesInStudy: '', InstanceAvailability: '' };
    const [match, ...more] = await find(node.port, identifier({ ...STUDY_KEYS, ...keys, ...counts, EthnicGroup: '' }));
    assert.deepEqual(more, []);
    assert.deepEqual(match, {
      SpecificCharacterSet: 'ISO_IR 192',
      QueryRetrieveLevel: 'STUDY',
      RetrieveAETitle: OWN_AE,
      InstanceAvailability: 'ONLINE',
      StudyTime: '1030',
      ModalitiesInStudy: 'CT\\PT',
      SOPClassesInStudy: '1.2.840.10008.5.1.4.1.1.2',
      PatientName: 'Müller^Änne',
      PatientID: 'P3',
      EthnicGroup: '',
      StudyInstanceUID: '2.25.1.3',
      NumberOfStudyRelatedSeries: '2',
      NumberOfStudyRelatedInstances: '4',
    });
  });

  it('names no character set as long as it is in ASCII, and has all groups of a name otherwise', async () => {
    const [ascii] = await find(node.port, identifier({ ...STUDY_KEYS, PatientID: 'P2', PatientName: '' }));
    assert.equal(ascii?.['SpecificCharacterSet'], undefined);
    for await (const match of findRaw(node.port, identifier({ ...STUDY_KEYS, PatientID: 'P4', PatientName: '' }))) {
      assert.deepEqual(dicomJson(match)['00100010']?.Value, [
        { Alphabetic: 'Yamada^Tarou', Ideographic: '山田^太郎', Phonetic: 'やまだ^たろう' },
      ]);
    }
  });

  it('is found by a key in another character set', async () => {
    const latin = identifier({ ...STUDY_KEYS, PatientName: '' });
    const elements = new Map(latin.elements);
    const text = (tag: number, vr: 'CS' | 'PN', bytes: Buffer) =>
      elements.set(tag, { tag, vr, value: { kind: 'bytes' as const, bytes } });
    text(0x00080005, 'CS', Buffer.from('ISO_IR 100'));
    text(0x00100010, 'PN', Buffer.from('müller* ', 'latin1'));
    const [match] = await find(node.port, { ...latin, elements, characterSets: ['ISO_IR 100'] });
    assert.equal(match?.['StudyInstanceUID'], '2.25.1.3');
  });

  it('goes down the hierarchy from patient to instance', async () => {
    const root = { model: SOP_CLASSES.patientRootFind };
    const patients = await find(
      node.port,
      identifier({
        QueryRetrieveLevel: 'PATIENT',
        PatientID: '',
        PatientName: 'doe*',
        NumberOfPatientRelatedStudies: '',
      }),
      root,
    );
    assert.deepEqual(
      patients.map((one) => [one['PatientID'], one['PatientName'], one['NumberOfPatientRelatedStudies']]),
      [
        ['P1', 'Doe^Jane', '2'],
        ['P2', 'doe^john', '1'],
        ['P6', 'Doe', '1'],
      ],
    );
    const found = await find(node.port, identifier({ ...STUDY_KEYS, PatientID: 'P1', StudyDate: '20260101-' }), root);
    assert.deepEqual(
      found.map((one) => one['StudyInstanceUID']),
      ['2.25.1.1'],
    );
    const above = { PatientID: 'P1', StudyInstanceUID: '2.25.1.1' };
    const series = await find(
      node.port,
      identifier({
        QueryRetrieveLevel: 'SERIES',
        ...above,
        SeriesNumber: '2',
        SeriesInstanceUID: '',
        NumberOfSeriesRelatedInstances: '',
      }),
      root,
    );
    assert.deepEqual(
      series.map((one) => [one['SeriesInstanceUID'], one['NumberOfSeriesRelatedInstances']]),
      [['2.25.1.1.2', '2']],
    );
    const images = await find(
      node.port,
      identifier({
        QueryRetrieveLevel: 'IMAGE',
        ...above,
        SeriesInstanceUID: '2.25.1.1.2',
        SOPInstanceUID: '',
        InstanceNumber: '',
        Rows: '',
      }),
      root,
    );
    assert.deepEqual(
      images.map((one) => [one['SOPInstanceUID'], one['InstanceNumber'], one['Rows']]),
      [
        ['2.25.1.1.2.1', '1', '8'],
        ['2.25.1.1.2.2', '2', '8'],
      ],
    );
  });

  it('finds a series by what was requested, and shows of the request what was asked for', async () => {
    const keys = { QueryRetrieveLevel: 'SERIES', StudyInstanceUID: '2.25.1.3', SeriesInstanceUID: '' };
    const matches = async (request: Record<string, string>) =>
      find(node.port, identifier({ ...keys, RequestAttributesSequence: request }));
    assert.equal((await matches({ RequestedProcedureID: 'RP3', ScheduledProcedureStepID: 'SPS*' })).length, 2);
    assert.deepEqual(await matches({ RequestedProcedureID: 'RP1', ScheduledProcedureStepID: 'SPS1' }), []);
    const [shown] = await matches({ RequestedProcedureID: '' });
    assert.equal(shown?.['RequestAttributesSequence'], '{"RequestedProcedureID":"RP3"}');
  });
});

describe('a query is refused, with its reason,', () => {
  const refused = async (keys: Record<string, string>, message: RegExp, options = {}) =>
    assert.rejects(find(node.port, identifier(keys), options), message);

  it('from a peer that may not ask', async () => {
    await refused(STUDY_KEYS, /0124H/, { callingAe: 'SENDER' });
  });

  it('when it has no level, or one that its model has not', async () => {
    await refused({ StudyInstanceUID: '' }, /A900H: QueryRetrieveLevel/);
    await refused({ ...STUDY_KEYS, QueryRetrieveLevel: 'PATIENT' }, /A900H: QueryRetrieveLevel/);
  });

  it('when a level above is not named', async () => {
    await refused({ QueryRetrieveLevel: 'SERIES', SeriesInstanceUID: '' }, /A900H: StudyInstanceUID/);
    await refused({ QueryRetrieveLevel: 'SERIES', StudyInstanceUID: '2.25.*' }, /A900H: StudyInstanceUID/);
    await refused({ QueryRetrieveLevel: 'IMAGE', StudyInstanceUID: '2.25.1.1' }, /A900H: SeriesInstanceUID/);
    await refused({ ...STUDY_KEYS, StudyInstanceUID: '' }, /A900H: PatientID/, { model: SOP_CLASSES.patientRootFind });
  });

  for (const [keyword, value] of [
    ['StudyDate', '2026'],
    ['StudyDate', '20261301'],
    ['StudyDate', '20260101-20260102-20260103'],
    ['StudyDate', '20260201-20260101'],
    ['StudyDate', '-'],
    ['StudyDate', "20260101' or true --"],
    ['StudyTime', '2500'],
    ['StudyTime', '10.5'],
    ['PatientID', 'x'.repeat(1025)],
    ['PatientID', 'P1\u0001'],
  ] as const) {
    it(`when ${keyword} is ${JSON.stringify(value).slice(0, 40)}`, async () => {
      await refused({ ...STUDY_KEYS, [keyword]: value }, new RegExp(`C000H: ${keyword}`));
    });
  }

  it('when it is a worklist that is asked for', async () => {
    await refused({ PatientID: '' }, /0122H/, { model: SOP_CLASSES.worklistFind });
  });
});

describe('the record of a query', () => {
  it('says who asked by which keys and how many were shown, and no value', async () => {
    await studies({ PatientName: 'doe*', StudyDate: '20260101-' });
    const { rows } = await node.database.pool.query(
      "select actor, action, details from audit_record where action = 'images.find' order by sequence desc limit 1",
    );
    const [{ actor, details }] = rows;
    assert.equal(actor, `dicom:${PEER_AE}`);
    assert.deepEqual(JSON.parse(details), { level: 'STUDY', keys: 'StudyDate PatientName', count: 3 });
  });

  it('is kept of a query that was cancelled, with what was shown by then', async () => {
    const stop = new AbortController();
    for await (const _match of findRaw(node.port, identifier(STUDY_KEYS), { signal: stop.signal })) stop.abort();
    const { rows } = await node.database.pool.query(
      "select details from audit_record where action = 'images.find' order by sequence desc limit 1",
    );
    assert.ok(JSON.parse(rows[0].details).count >= 1);
  });
});
