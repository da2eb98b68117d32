import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  AppError,
  type NewDecision,
  NOTES_API,
  type ProjectId,
  RESEARCH_IMAGES_API,
  type ResearchNote,
} from '@lantern/contract';
import { createPseudonyms } from '@lantern/dicom';
import { systemClock } from '@lantern/service';
import { projectSpec } from '../../test/documents.ts';
import { type ScriptedHub, startScriptedHub } from '../../test/scripted-hub.ts';
import { startTestSite, type TestSite } from '../../test/site-harness.ts';
import { encodings } from '../../test/token-encodings.ts';
import { createResearchKeys } from '../research-keys/research-keys.ts';
import { plainText } from './note-texts.ts';

/** Each stands in the records in some place, and in no note that is given out. */
const TOKENS = {
  family: 'Quillfeather',
  given: 'Zephyrine',
  number: 'QX4471902',
  nhs: '9990000018',
  street: '7 Quernstone Lane',
  town: 'Quorndon',
  postcode: 'LS29 8QT',
  phone: '01632960417',
  mail: 'zq@quill.example.org',
  kin: 'Barnabas',
  related: 'Wilhelmina',
  doctor: 'Ravenscourt',
  place: 'Quayside Infirmary',
} as const;
const SECOND = { number: 'QX9000002', family: 'Brackenridge' };

const text = (note: string) => Buffer.from(note).toString('base64');
const patient = (id: string, number: string, more: object) => ({
  resourceType: 'Patient',
  id,
  identifier: [
    { system: 'https://fhir.nhs.uk/Id/nhs-number', value: id === 'p1' ? TOKENS.nhs : '9990000026' },
    { type: { coding: [{ code: 'MR' }] }, value: number },
  ],
  ...more,
});
const subject = { reference: 'Patient/p1' };
const RESOURCES = [
  patient('p1', TOKENS.number, {
    name: [{ family: TOKENS.family, given: [TOKENS.given] }],
    birthDate: '1951-02-03',
    telecom: [
      { system: 'phone', value: TOKENS.phone },
      { system: 'email', value: TOKENS.mail },
    ],
    address: [{ line: [TOKENS.street], city: TOKENS.town, postalCode: TOKENS.postcode }],
    contact: [{ name: { given: [TOKENS.kin], family: TOKENS.family } }],
  }),
  patient('p2', SECOND.number, { name: [{ family: SECOND.family }] }),
  { resourceType: 'RelatedPerson', id: 'r1', patient: subject, name: [{ given: [TOKENS.related] }] },
  { resourceType: 'Practitioner', id: 'd1', name: [{ family: TOKENS.doctor }] },
  { resourceType: 'Organization', id: 'o1', name: TOKENS.place },
  {
    resourceType: 'DocumentReference',
    id: 'n1',
    status: 'current',
    subject,
    date: '2021-03-12T10:00:00Z',
    author: [{ reference: 'Practitioner/d1' }],
    content: [
      {
        attachment: {
          contentType: 'text/plain; charset=utf-8',
          data: text(
            `${TOKENS.family.toUpperCase()}, ${TOKENS.given} (${TOKENS.number}), born 3 Feb 1951, came on 12/03/2021 with ${TOKENS.kin} and ` +
              `${TOKENS.related} from ${TOKENS.street}, ${TOKENS.town} ${TOKENS.postcode}. Bell's palsy, BP 142/86. Tel ${TOKENS.phone}, ` +
              `${TOKENS.mail}, NHS ${TOKENS.nhs}. Ravenscourt, ${TOKENS.place}`,
          ),
        },
      },
      { attachment: { contentType: 'application/pdf', url: 'Binary/1' } },
    ],
  },
  {
    resourceType: 'Composition',
    id: 'c1',
    status: 'final',
    type: { text: 'Letter' },
    subject,
    date: '2021-03-13',
    author: [{ reference: 'Practitioner/d1' }],
    title: 'Letter',
    section: [
      {
        title: 'Plan',
        text: {
          status: 'generated',
          div: `<div xmlns="http://www.w3.org/1999/xhtml"><p>${TOKENS.given} &amp; ${TOKENS.related}</p><p>aspirin 75&#160;mg</p></div>`,
        },
      },
    ],
  },
  {
    resourceType: 'Observation',
    id: 'v1',
    status: 'final',
    code: { text: 'remark' },
    subject,
    valueString: `${TOKENS.family} walks 20 m`,
  },
  {
    resourceType: 'DiagnosticReport',
    id: 'g1',
    status: 'final',
    code: { text: 'CT' },
    subject: { reference: 'Patient/p2' },
    conclusion: `${SECOND.family}: no mass.`,
  },
];

describe('notes for a project', () => {
  let hub: ScriptedHub;
  let site: TestSite;
  before(async () => {
    hub = await startScriptedHub();
    site = await startTestSite(hub, 'site-notes');
    for (const resource of RESOURCES) {
      const response = await fetch(`${site.url()}/fhir/${resource.resourceType}/${resource.id}`, {
        method: 'PUT',
        headers: { authorization: `Bearer ${site.tokens()['data-engineer']}`, 'content-type': 'application/fhir+json' },
        body: JSON.stringify(resource),
      });
      assert.ok(response.ok, `${resource.id}: ${await response.text()}`);
    }
  });
  after(async () => {
    await site?.close();
    await hub?.close();
  });

  const approve: NewDecision = { verdict: 'approved', reason: 'ok' };
  const project = (decision?: NewDecision): Promise<ProjectId> =>
    site.project(hub, projectSpec(hub.siteId(), { algorithms: [] }), decision);
  const read = (projectId: ProjectId, patientId?: string, role: 'data-engineer' | 'governance' = 'data-engineer') =>
    site.as(role).call(NOTES_API.readResearchNotes, {
      params: { projectId },
      query: patientId === undefined ? {} : { patient: patientId },
    });
  const refusal = async (work: Promise<unknown>): Promise<string> => {
    const caught: unknown = await work.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    assert.ok(caught instanceof AppError, 'it was allowed');
    return caught.code;
  };

  it('are none unless a signed approval allows them, whoever asks', async () => {
    assert.equal(await refusal(read(await project())), 'policy.not-approved');
    assert.equal(await refusal(read(await project(approve))), 'policy.refused');
    assert.equal(await refusal(read(await project({ ...approve, freeText: 'none' }))), 'policy.refused');
    const allowed = await project({ ...approve, freeText: 'deidentified' });
    assert.equal((await read(allowed)).account.patients, 2);
    assert.equal(await refusal(read(allowed, undefined, 'governance')), 'auth.forbidden');
    await site.decide(allowed, { verdict: 'withdrawn', reason: 'no more' });
    assert.equal(await refusal(read(allowed)), 'policy.not-approved');
  });

  it('hold nothing of the patient in any encoding, and what medicine they are about', async () => {
    const page = await read(await project({ ...approve, freeText: 'deidentified' }));
    const all = Buffer.from(JSON.stringify(page));
    for (const token of [...Object.values(TOKENS), ...Object.values(SECOND)])
      for (const form of encodings(token)) assert.ok(!all.includes(form), `${token} is in what was given out`);
    const [letter] = page.notes.filter(({ kind }) => kind === 'DocumentReference');
    assert.match(
      letter?.text ?? '',
      /^\[NAME\] \(PSN\w{24}\), born \[DATE OF BIRTH\], came on \d\d\/\d\d\/\d{4} with .*Bell's palsy, BP 142\/86\./,
    );
    assert.ok((letter?.findings['name'] ?? 0) >= 3 && letter?.findings['place'] === 1);
    const composition = page.notes.find(({ kind }) => kind === 'Composition');
    assert.equal(composition?.text, '[NAME] & [NAME]\naspirin 75\u00a0mg');
    assert.deepEqual(page.account, { patients: 2, optedOut: 0, notes: 4, unread: 1 });
    assert.equal(page.next, undefined);
  });

  it('have the pseudonym and the shift of the images of the project', async () => {
    const projectId = await project({ ...approve, freeText: 'deidentified' });
    const key = await createResearchKeys({ database: site.database, clock: systemClock }).keyOf(`project:${projectId}`);
    const pseudonyms = createPseudonyms(key);
    const { notes } = await read(projectId, 'p1');
    const wanted = new Date(Date.parse('2021-03-12') - 86_400_000 * pseudonyms.dateShiftDays(TOKENS.number, 1825));
    const letter: ResearchNote | undefined = notes.find(({ kind }) => kind === 'DocumentReference');
    assert.equal(letter?.patient, pseudonyms.patientId(TOKENS.number));
    assert.equal(letter?.date, wanted.toISOString().slice(0, 10));
    const [year, month, day] = wanted.toISOString().slice(0, 10).split('-');
    assert.ok(letter?.text.includes(`came on ${day}/${month}/${year} with`));
    const other = await read(await project({ ...approve, freeText: 'deidentified' }), 'p1');
    assert.ok(
      other.notes.every((note) =>
        notes.every(({ patient: here, noteId }) => here !== note.patient && noteId !== note.noteId),
      ),
    );
  });

  it('leave out who opted out, stop while a list is too old, and leave counts alone in the audit log', async () => {
    const projectId = await project({ ...approve, freeText: 'deidentified' });
    const load = {
      params: { list: 'patient-ids' as const },
      body: { asOf: new Date().toISOString(), entries: [SECOND.number] },
    };
    await site.as('data-engineer').call(RESEARCH_IMAGES_API.loadOptOuts, load);
    const page = await read(projectId);
    assert.deepEqual(page.account, { patients: 2, optedOut: 1, notes: 3, unread: 1 });
    assert.ok(page.notes.every(({ kind }) => kind !== 'DiagnosticReport'));
    await site.database.pool.query("update opt_out_list set as_of = as_of - interval '20 days'");
    assert.equal(await refusal(read(projectId)), 'policy.refused');
    const { rows } = await site.database.pool.query(
      `select details::text as line from audit_record where action = 'notes.read'`,
    );
    const lines = rows.map((row: { line: string }) => row.line);
    assert.ok(
      lines.some((line) => /"optedOut": ?1/.test(line)),
      lines.join('\n'),
    );
    assert.ok(lines.some((line) => line.includes('policy.refused')));
    for (const token of [...Object.values(TOKENS), ...Object.values(SECOND)])
      assert.ok(!lines.some((line) => line.includes(token)));
  });
});

describe('a narrative', () => {
  it('becomes plain text in a time in proportion', () => {
    assert.equal(plainText('<div><p>a &lt; b</p><p>c&#233;<br/>d</p></div>'), 'a < b\ncé\nd');
    assert.equal(plainText('<'.repeat(200_000)).length, 200_000);
  });
});
