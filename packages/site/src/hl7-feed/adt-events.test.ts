/** Events of ADT from the socket to the records: merges, moves, new numbers, and what was cancelled, in the order in which it was said. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { startTestRecordsFeed, type TestFeed } from '../../test/feed-harness.ts';

let feed: TestFeed;
let sent = 0;

before(async () => {
  feed = await startTestRecordsFeed({ name: 'adt-events' });
});
beforeEach(async () => {
  await feed.database.pool.query(
    'truncate hl7_message, hl7_patient, fhir_resource, fhir_history, fhir_token, fhir_reference, fhir_string, fhir_date, fhir_quantity',
  );
});
after(() => feed.close());

const PID = (number: string, more: { name?: string; account?: string; rest?: string } = {}) =>
  `PID|1||${number}^^^NORTH^MR||${more.name ?? 'Baird^Iona^May'}||19520317|F|||14 Mill Lane^^Leeds^^LS1 4AP||0113 4960000^PRN^PH|||||${more.account ?? ''}${more.rest ?? ''}`;

type Visit = { readonly bed?: string; readonly doctors?: string; readonly end?: string; readonly tail?: string };
const PV1 = (number: string, { bed = 'W4^12^2', doctors = '1001^Reid^Ann', end = '' }: Visit = {}) => {
  const fields = new Array<string>(46).fill('');
  Object.assign(fields, { 0: 'PV1', 1: '1', 2: 'I', 3: bed, 7: doctors, 19: number, 44: '202602010915', 45: end });
  return fields.join('|');
};

/** Sends one message of the event and gives what became of it. */
async function says(
  event: string,
  structure: string,
  ...segments: string[]
): Promise<{ state: string; rules: string }> {
  sent += 1;
  const msh = `MSH|^~\\&|PAS|NORTH|LANTERN|SITE|20260203101500||ADT^${event}^${structure}|C${sent}|P|2.5.1`;
  const lines = [msh, `EVN|${event}|20260203101500`, ...segments];
  const sender = feed.sender();
  assert.equal((await sender.send(Buffer.from(`${lines.join('\r')}\r`)))?.code, 'AA');
  sender.close();
  await feed.sweep();
  const { rows } = await feed.database.pool.query(
    'select state, reasons from hl7_message order by sequence desc limit 1',
  );
  return { state: rows[0].state, rules: JSON.stringify(rows[0].reasons) };
}

type Json = Record<string, unknown>;

/** Records of a type that are there now, with their ids. */
async function records(type: string): Promise<Json[]> {
  const { rows } = await feed.database.pool.query(
    'select id, body from fhir_resource where type = $1 and body is not null order by version_key',
    [type],
  );
  return rows.map(({ id, body }) => ({ id, ...JSON.parse(`{${body.replace(/^,/, '')}`) }));
}

async function byNumber(type: string, number: string): Promise<Json> {
  const all = await records(type);
  const found = all.filter(({ identifier }) => JSON.stringify(identifier ?? []).includes(`"value":"${number}"`));
  assert.equal(found.length, 1, `${type} ${number}: ${found.length} of ${all.length}`);
  return found[0] ?? {};
}

/** Somebody else's record of a visit. */
async function observe(patient: string, visit: string): Promise<void> {
  const body = `,"status":"final","code":{"text":"x"},"subject":{"reference":"${patient}"},"encounter":{"reference":"${visit}"}}`;
  await feed.database.pool.query(
    `with made as (insert into fhir_resource (version_key, type, id, version, last_updated, method, body)
       values (nextval('fhir_version_key'), 'Observation', 'o1', 1, now(), 'create', $1) returning version_key)
     insert into fhir_reference (term, version_key)
     select place_id || '|' || $2, version_key from made, fhir_place where place = 'Encounter.subject'`,
    [body, visit],
  );
}

const reference = (json: unknown) => /"reference":"([^"]+)"/.exec(JSON.stringify(json ?? {}))?.[1];

describe('merges of patients', () => {
  it('leave one who is replaced; what comes under his number goes to the survivor, however often they were merged', async () => {
    await says('A01', 'ADT_A01', PID('OLD'), PV1('V1'));
    await says('A01', 'ADT_A01', PID('MID', { name: 'Baird^Iona' }), PV1('V2'));
    await says('A01', 'ADT_A01', PID('NEW'), PV1('V3'));
    await says('A40', 'ADT_A39', PID('MID'), 'MRG|OLD^^^NORTH^MR');
    await says('A40', 'ADT_A39', PID('NEW'), 'MRG|MID^^^NORTH^MR');
    const late = await says('A01', 'ADT_A01', PID('OLD', { name: 'Stale^Name' }), PV1('V4'));
    assert.equal(late.state, 'mapped-with-warning');
    assert.match(late.rules, /its patient was merged/);
    const survivor = await byNumber('Patient', 'NEW');
    assert.equal(reference((await byNumber('Encounter', 'V4'))['subject']), `Patient/${survivor['id']}`);
    assert.deepEqual([survivor['active'], JSON.stringify(survivor['name']).includes('Stale')], [true, false]);
    for (const number of ['OLD', 'MID']) assert.equal((await byNumber('Patient', number))['active'], false);
    assert.equal((await records('Patient')).length, 3);
  });

  it('are undone: both live, and each is found under his own number again', async () => {
    await says('A28', 'ADT_A05', PID('OLD'));
    await says('A28', 'ADT_A05', PID('NEW'));
    await says('A40', 'ADT_A39', PID('NEW'), 'MRG|OLD^^^NORTH^MR');
    assert.equal((await says('A37', 'ADT_A37', PID('NEW'), PID('OLD'))).rules, '[]');
    for (const number of ['OLD', 'NEW']) {
      const { active, link } = await byNumber('Patient', number);
      assert.deepEqual([active, link], [true, undefined], number);
    }
    await says('A01', 'ADT_A01', PID('OLD'), PV1('V9'));
    const { id } = await byNumber('Patient', 'OLD');
    assert.equal(reference((await byNumber('Encounter', 'V9'))['subject']), `Patient/${id}`);
  });

  it('may be turned round, and then go in no circle', async () => {
    await says('A28', 'ADT_A05', PID('A'));
    await says('A28', 'ADT_A05', PID('B'));
    await says('A40', 'ADT_A39', PID('A'), 'MRG|B^^^NORTH^MR');
    await says('A40', 'ADT_A39', PID('B'), 'MRG|A^^^NORTH^MR');
    await says('A01', 'ADT_A01', PID('A'), PV1('V1'));
    const survivor = await byNumber('Patient', 'B');
    assert.deepEqual([survivor['active'], (await byNumber('Patient', 'A'))['active']], [true, false]);
    assert.equal(reference((await byNumber('Encounter', 'V1'))['subject']), `Patient/${survivor['id']}`);
  });
});

describe('merges, moves and new numbers of accounts and visits', () => {
  it('put one visit in the place of two, with what hung on the other', async () => {
    await says('A01', 'ADT_A01', PID('P1'), PV1('V1'));
    await says('A01', 'ADT_A01', PID('P1'), PV1('V2'));
    const { id: old } = await byNumber('Encounter', 'V2');
    await observe(`Patient/${(await byNumber('Patient', 'P1'))['id']}`, `Encounter/${old}`);
    const merged = await says('A42', 'ADT_A39', PID('P1'), 'MRG|P1^^^NORTH^MR||||V2', PV1('V1'));
    assert.equal(merged.rules, '[]');
    const visit = await byNumber('Encounter', 'V1');
    assert.match(JSON.stringify(visit['identifier']), /"use":"old"/);
    assert.equal((await records('Encounter')).length, 1);
    assert.notEqual(visit['id'], old);
    assert.equal(reference((await records('Observation'))[0]?.['encounter']), `Encounter/${visit['id']}`);
    await says('A03', 'ADT_A03', PID('P1'), PV1('V2', { end: '202602051200' }));
    const left = await byNumber('Encounter', 'V1');
    assert.deepEqual([left['id'], left['status']], [visit['id'], 'finished']);
  });

  it('put one account in the place of two, and visits of the other are on it', async () => {
    const pid = (account: string) => PID('P1', { account });
    await says('A01', 'ADT_A01', pid('ACC1'), PV1('V1'));
    await says('A01', 'ADT_A01', pid('ACC2'), PV1('V2'));
    assert.equal((await records('Account')).length, 2);
    assert.equal((await says('A41', 'ADT_A39', pid('ACC1'), 'MRG|||ACC2')).rules, '[]');
    const account = await byNumber('Account', 'ACC2');
    assert.equal((await records('Account')).length, 1);
    assert.match(JSON.stringify(account['identifier']), /ACC1/);
    await says('A08', 'ADT_A01', pid('ACC2'), PV1('V2'));
    assert.equal((await records('Account')).length, 1);
  });

  it('give a visit, an account and a patient another number, under which and under the old one they are found', async () => {
    await says('A01', 'ADT_A01', PID('P1', { account: 'ACC1' }), PV1('V1'));
    const before = [
      await byNumber('Patient', 'P1'),
      await byNumber('Account', 'ACC1'),
      await byNumber('Encounter', 'V1'),
    ];
    await says('A50', 'ADT_A50', PID('P1'), 'MRG|P1^^^NORTH^MR||||V1', PV1('V2'));
    await says('A49', 'ADT_A43', PID('P1', { account: 'ACC2' }), 'MRG|P1^^^NORTH^MR||ACC1');
    await says('A47', 'ADT_A30', PID('P2'), 'MRG|P1^^^NORTH^MR');
    const now = [await byNumber('Patient', 'P2'), await byNumber('Account', 'ACC2'), await byNumber('Encounter', 'V2')];
    assert.deepEqual(
      now.map(({ id }) => id),
      before.map(({ id }) => id),
    );
    await says('A08', 'ADT_A01', PID('P1', { account: 'ACC1' }), PV1('V1'));
    for (const type of ['Patient', 'Account', 'Encounter']) assert.equal((await records(type)).length, 1, type);
  });

  it('merge patients where a new number is one that somebody has', async () => {
    await says('A28', 'ADT_A05', PID('P1'));
    await says('A28', 'ADT_A05', PID('P2'));
    const { state, rules } = await says('A47', 'ADT_A30', PID('P2'), 'MRG|P1^^^NORTH^MR');
    assert.equal(state, 'mapped-with-warning');
    assert.match(rules, /both numbers had a patient/);
    const { id, active } = await byNumber('Patient', 'P2');
    const old = await byNumber('Patient', 'P1');
    assert.deepEqual([active ?? true, old['active'], reference(old['link'])], [true, false, `Patient/${id}`]);
  });

  it('take a visit, and an account, to another patient, with all that hangs on it', async () => {
    await says('A01', 'ADT_A01', PID('P1', { account: 'ACC1' }), PV1('V1'));
    await says('A28', 'ADT_A05', PID('P2'));
    const { id: visitId } = await byNumber('Encounter', 'V1');
    const { id: first } = await byNumber('Patient', 'P1');
    await observe(`Patient/${first}`, `Encounter/${visitId}`);
    await says('A45', 'ADT_A45', PID('P2'), 'MRG|P1^^^NORTH^MR||||V1', PV1('V1'));
    const { id: second } = await byNumber('Patient', 'P2');
    const moved = await byNumber('Encounter', 'V1');
    const [observation] = await records('Observation');
    assert.deepEqual([moved['id'], reference(moved['subject'])], [visitId, `Patient/${second}`]);
    assert.equal(reference(observation?.['subject']), `Patient/${second}`);
    await says('A44', 'ADT_A43', PID('P2', { account: 'ACC1' }), 'MRG|P1^^^NORTH^MR||ACC1');
    assert.equal(reference((await byNumber('Account', 'ACC1'))['subject']), `Patient/${second}`);
  });
});

describe('events that take back what was said', () => {
  it('cancel an admission, a transfer and a discharge', async () => {
    const status = async () => (await byNumber('Encounter', 'V1'))['status'];
    const bed = async () => {
      const { location } = await byNumber('Encounter', 'V1');
      const { rows } = await feed.database.pool.query(`select body from fhir_resource where type || '/' || id = $1`, [
        reference(location),
      ]);
      return /"value":"([^"]+)"/.exec(rows[0].body)?.[1];
    };
    await says('A01', 'ADT_A01', PID('P1'), PV1('V1', { bed: 'W4^12^bed-2' }));
    assert.deepEqual([await status(), await bed()], ['in-progress', 'bed-2']);
    await says('A02', 'ADT_A02', PID('P1'), PV1('V1', { bed: 'W7^1^bed-9' }));
    assert.equal(await bed(), 'bed-9');
    await says('A12', 'ADT_A12', PID('P1'), PV1('V1', { bed: 'W4^12^bed-2' }));
    assert.deepEqual([await status(), await bed()], ['in-progress', 'bed-2']);
    await says('A03', 'ADT_A03', PID('P1'), PV1('V1', { end: '202602051200' }));
    const left = await byNumber('Encounter', 'V1');
    assert.deepEqual([left['status'], JSON.stringify(left['period']).includes('"end"')], ['finished', true]);
    await says('A13', 'ADT_A01', PID('P1'), PV1('V1'));
    const back = await byNumber('Encounter', 'V1');
    assert.deepEqual([back['status'], JSON.stringify(back['period']).includes('"end"')], ['in-progress', false]);
    await says('A11', 'ADT_A09', PID('P1'), PV1('V1'));
    assert.equal(await status(), 'cancelled');
    await says('A08', 'ADT_A01', PID('P1'), PV1('V1'));
    assert.equal(await status(), 'cancelled', 'an update does not say how the visit stands');
  });

  const STATES: readonly [string, string, string][] = [
    ['A21', 'ADT_A21', 'onleave'],
    ['A52', 'ADT_A52', 'in-progress'],
    ['A22', 'ADT_A21', 'in-progress'],
    ['A53', 'ADT_A52', 'onleave'],
    ['A14', 'ADT_A05', 'planned'],
    ['A27', 'ADT_A21', 'cancelled'],
    ['A05', 'ADT_A05', 'planned'],
    ['A38', 'ADT_A38', 'cancelled'],
    ['A23', 'ADT_A21', 'entered-in-error'],
  ];
  for (const [event, structure, status] of STATES) {
    it(`leave a visit ${status} after ${event}`, async () => {
      await says('A01', 'ADT_A01', PID('P1'), PV1('V1'));
      assert.equal((await says(event, structure, PID('P1'), PV1('V1'))).rules, '[]');
      assert.equal((await byNumber('Encounter', 'V1'))['status'], status);
    });
  }

  it('end a person, whose record stays', async () => {
    await says('A28', 'ADT_A05', PID('P1'));
    await says('A29', 'ADT_A21', PID('P1'), 'PV1|1|N');
    assert.equal((await byNumber('Patient', 'P1'))['active'], false);
  });
});

describe('every event from A01 to A62', () => {
  it('is mapped, or ignored with its reason; none stops the feed', async () => {
    const segments = [PID('P1', { account: 'ACC1' }), 'MRG|P0^^^NORTH^MR|ALT0|ACC0|EXT0|V0|V00', PV1('V1')];
    const states = new Map<string, string>();
    for (let number = 1; number <= 62; number += 1) {
      const event = `A${String(number).padStart(2, '0')}`;
      const { state, rules } = await says(event, `ADT_${event}`, ...segments);
      states.set(event, state);
      if (state !== 'mapped') assert.match(rules, /not mapped: |merged/, `${event} ${state} ${rules}`);
    }
    assert.deepEqual(
      [...states.values()].filter((state) => state === 'failed'),
      [],
    );
    const ignored = [...states].filter(([, state]) => state === 'ignored').map(([event]) => event);
    assert.deepEqual(ignored, ['A19', 'A20', 'A56', 'A57', 'A58', 'A59']);
  });
});
