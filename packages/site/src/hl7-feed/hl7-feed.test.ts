import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { AppError } from '@lantern/contract';
import { type Bundle, encodeFrame } from '@lantern/hl7';
import { systemClock } from '@lantern/service';
import { admission, startTestFeed, type TestFeed } from '../../test/feed-harness.ts';
import { createFeedAccess, type FeedAccess } from './feed-access.ts';

let feed: TestFeed;
let access: FeedAccess;

async function rows(columns = 'sequence, control_id, state, duplicate_count'): Promise<Record<string, unknown>[]> {
  const { rows: found } = await feed.database.pool.query(`select ${columns} from hl7_message order by sequence`);
  return found;
}

async function emptied(): Promise<void> {
  await feed.database.pool.query('truncate hl7_message, hl7_patient restart identity');
}

describe('a feed of HL7 v2 messages', () => {
  before(async () => {
    feed = await startTestFeed({
      name: 'hl7-feed',
      settings: {
        senders: [
          { name: 'adt', hosts: ['127.0.0.1'], application: 'ADT' },
          { name: 'far', hosts: ['10.1.2.0/24'] },
        ],
      },
    });
  });
  beforeEach(emptied);
  after(() => feed.close());

  it('acknowledges what is stored, byte for byte, and keeps the order of a connection', async () => {
    const sender = feed.sender();
    for (const id of ['c', 'a', 'b']) assert.equal((await sender.send(admission({ controlId: id })))?.code, 'AA');
    assert.deepEqual(
      (await rows()).map((row) => row['control_id']),
      ['c', 'a', 'b'],
    );
    const [first] = await rows('content, byte_count, connection, message_code, trigger_event, patient_key');
    assert.deepEqual(first?.['content'], admission({ controlId: 'c' }));
    assert.deepEqual([first?.['message_code'], first?.['trigger_event']], ['ADT', 'A01']);
    const connections = new Set((await rows('connection')).map((row) => row['connection']));
    assert.equal(connections.size, 1);
  });

  it('knows a message that comes again, and acts on it once', async () => {
    const sender = feed.sender();
    const message = admission({ controlId: '1' });
    const codes = [await sender.send(message), await sender.send(message), await feed.sender().send(message)];
    assert.deepEqual(
      codes.map((answer) => answer?.code),
      ['AA', 'AA', 'AA'],
    );
    assert.deepEqual(await rows(), [{ sequence: 1, control_id: '1', state: 'received', duplicate_count: 2 }]);
  });

  it('takes other content under a control id for another message, and both for themselves when they come again', async () => {
    const sender = feed.sender();
    const [first, other] = [admission({ controlId: '1' }), admission({ controlId: '1', patient: 'P2' })];
    for (const message of [first, other, first, other]) assert.equal((await sender.send(message))?.code, 'AA');
    const counted = await rows('control_id, duplicate_count, repeats_control_id');
    assert.deepEqual(counted, [
      { control_id: '1', duplicate_count: 1, repeats_control_id: false },
      { control_id: '1', duplicate_count: 1, repeats_control_id: true },
    ]);
    await feed.database.pool.query("update hl7_message set received_at = received_at - interval '61 minutes'");
    await sender.send(admission({ controlId: '1', patient: 'P3' })); // as one that counts anew comes to it
    assert.equal((await rows('repeats_control_id'))[2]?.['repeats_control_id'], false);
    const all = createFeedAccess({ database: feed.database, clock: systemClock }, () => {});
    assert.equal((await all.read(1)).conflictCount, 2);
  });

  it('tells senders apart by application and facility: one control id of two is two messages', async () => {
    const open = await startTestFeed({ name: 'hl7-feed-two', settings: { senders: [], openHosts: ['127.0.0.1'] } });
    try {
      const sender = open.sender();
      await sender.send(admission({ controlId: '1', application: 'ADT' }));
      assert.equal((await sender.send(admission({ controlId: '1', application: 'LAB' })))?.code, 'AA');
    } finally {
      await open.close();
    }
  });

  it('takes nothing from whom it does not know', async () => {
    const answer = await feed.sender().send(admission({ controlId: '1', application: 'EVIL' }));
    assert.equal(answer?.code, 'AR');
    assert.deepEqual(await rows(), []);
    const closed = await startTestFeed({ name: 'hl7-feed-closed', settings: { senders: [] } });
    try {
      const socket = connect(closed.port, '127.0.0.1');
      socket.on('error', () => {}); // a reset is an end like others
      await new Promise<void>((resolve) => socket.once('close', () => resolve()));
    } finally {
      await closed.close();
    }
  });

  it('refuses test messages unless it is set to take them, and what is no message, without repeating it', async () => {
    const answer = await feed.sender().send(admission({ controlId: '1', processingId: 'T' }));
    assert.deepEqual([answer?.code, answer?.controlId], ['AR', '1']);
    const socket = connect(feed.port, '127.0.0.1');
    const broken = 'MSH|^~\\&|ADT|NORTH|L|S|2026||ADT^A01|7|P|2.5.1\rPatient Smith\r';
    socket.write(encodeFrame(Buffer.from(broken)));
    const [answered] = await once(socket, 'data');
    assert.match(String(answered), /MSA\|AR\|7\|A segment does not begin/);
    assert.doesNotMatch(String(answered), /Smith/);
    socket.destroy();
    assert.deepEqual(await rows(), []);
  });

  it('shows what came without its content, and leaves it waiting while nobody applies it', async () => {
    access = createFeedAccess({ database: feed.database, clock: systemClock }, () => {});
    await feed.sender().send(admission({ controlId: '1' }));
    await feed.sweep();
    const [shown] = await access.list({});
    assert.deepEqual(
      [shown?.state, shown?.isKept, shown?.byteCount],
      ['received', true, admission({ controlId: '1' }).byteLength],
    );
    assert.doesNotMatch(JSON.stringify(shown), /Doe|P1|1970/);
    assert.equal((await access.counts()).received, 1);
    await assert.rejects(access.read(99), (caught) => caught instanceof AppError && caught.code === 'not-found');
    await assert.rejects(
      access.list({ state: 'lost' }),
      (caught) => caught instanceof AppError && caught.code === 'input.invalid',
    );
  });
});

describe('messages that are mapped', () => {
  const applied: { sequence: number; bundle: Bundle }[] = [];
  let failing: (sequence: number) => unknown = () => undefined;

  before(async () => {
    feed = await startTestFeed({
      name: 'hl7-feed-mapped',
      applyBundle: async (_, bundle, { sequence }) => {
        const fault = failing(sequence);
        if (fault !== undefined) throw fault;
        applied.push({ sequence, bundle: bundle as Bundle });
        return [];
      },
    });
    access = createFeedAccess({ database: feed.database, clock: systemClock }, () => {});
  });
  afterEach(async () => {
    failing = () => undefined;
    await feed.sweep();
    await emptied();
    applied.length = 0;
  });
  after(() => feed.close());

  const states = async () => (await rows('state')).map((row) => row['state']);

  it('are applied in the order in which they came, each once', async () => {
    const senders = [feed.sender(), feed.sender(), feed.sender()];
    const sent = senders.flatMap((sender, index) => [sendAll(sender, index)]);
    await Promise.all(sent);
    await feed.sweep();
    assert.deepEqual(
      applied.map(({ sequence }) => sequence),
      Array.from({ length: 30 }, (_, index) => index + 1),
    );
    assert.ok((await states()).every((state) => state === 'mapped'));
  });

  async function sendAll(sender: ReturnType<TestFeed['sender']>, index: number): Promise<void> {
    for (let number = 0; number < 10; number += 1) {
      await sender.send(admission({ controlId: `${index}-${number}`, patient: `P${index}` }));
    }
  }

  it('fail alone: what comes after goes on, and one that is tried again says that it comes late', async () => {
    failing = (sequence) => (sequence === 1 ? new Error('PID-5 Doe cannot be stored') : undefined);
    const sender = feed.sender();
    for (const id of ['1', '2']) await sender.send(admission({ controlId: id }));
    await feed.sweep();
    assert.deepEqual(await states(), ['failed', 'mapped']);
    const failed = await access.read(1);
    assert.doesNotMatch(JSON.stringify(failed.reasons), /Doe/);
    await assert.rejects(
      access.retry(2, 'ann'),
      (caught) => caught instanceof AppError && caught.code === 'state.transition-refused',
    );
    failing = () => undefined;
    assert.equal((await access.retry(1, 'ann')).state, 'received');
    await feed.sweep();
    const late = await access.read(1);
    assert.deepEqual([late.state, late.attemptCount], ['mapped-with-warning', 2]);
    assert.match(late.reasons[0]?.rule ?? '', /younger messages of its patient were applied before/);
    assert.deepEqual(
      applied.map(({ sequence }) => sequence),
      [2, 1],
    );
  });

  it('say so where another one had their control id shortly before', async () => {
    const sender = feed.sender();
    for (const patient of ['P1', 'P2']) await sender.send(admission({ controlId: 'same', patient }));
    await feed.sweep();
    assert.deepEqual(await states(), ['mapped', 'mapped-with-warning']);
    assert.match((await access.read(2)).reasons[0]?.rule ?? '', /another message came under its control id/);
    assert.equal(applied.length, 2);
  });

  it('wait all together while what applies them is away, and lose nothing', async () => {
    failing = () => new AppError('database.unavailable', 'It is away.');
    const sender = feed.sender();
    for (const id of ['1', '2']) await sender.send(admission({ controlId: id }));
    await assert.rejects(feed.sweep());
    assert.deepEqual(await states(), ['received', 'received']);
    failing = () => undefined;
    await feed.sweep();
    assert.deepEqual(await states(), ['mapped', 'mapped']);
  });

  it('warn where a number comes with another date of birth, and not across assigning authorities', async () => {
    const sender = feed.sender();
    await sender.send(admission({ controlId: '1', patient: 'P7' }));
    await sender.send(admission({ controlId: '2', patient: 'P7', birth: '19991231' }));
    const elsewhere = admission({ controlId: '3', patient: 'P7', birth: '19880203' });
    await sender.send(Buffer.from(elsewhere.toString().replace('^^^NORTH^MR', '^^^SOUTH^MR')));
    await feed.sweep();
    assert.deepEqual(await states(), ['mapped', 'mapped-with-warning', 'mapped']);
    const systems = applied.map(({ bundle }) => bundle.entry[0]?.request.url);
    assert.equal(systems[0], systems[1]);
    assert.notEqual(systems[0], systems[2]);
  });

  it('merge and part patients in the order in which that was said', async () => {
    const sender = feed.sender();
    await sender.send(admission({ controlId: '1', patient: 'OLD' }));
    const merge = [
      'MSH|^~\\&|ADT|NORTH|LANTERN|SITE|20260203||ADT^A40^ADT_A39|2|P|2.5.1',
      'EVN||20260203',
      'PID|1||NEW^^^NORTH^MR||Doe^Jo||19700102|F',
      'MRG|OLD^^^NORTH^MR',
    ];
    await sender.send(Buffer.from(`${merge.join('\r')}\r`));
    const part = [
      'MSH|^~\\&|ADT|NORTH|LANTERN|SITE|20260203||ADT^A37^ADT_A37|3|P|2.5.1',
      'EVN||20260203',
      'PID|1||NEW^^^NORTH^MR||Doe^Jo||19700102|F',
      'PID|2||OLD^^^NORTH^MR||Doe^Joan||19700102|F',
    ];
    await sender.send(Buffer.from(`${part.join('\r')}\r`));
    await feed.sweep();
    const patients = applied.map(({ bundle }) =>
      bundle.entry
        .map(({ resource }) => resource)
        .filter(({ resourceType }) => resourceType === 'Patient')
        .map(({ active, link }) => [active, JSON.stringify(link ?? []).match(/"type":"([a-z-]+)"/)?.[1]]),
    );
    assert.deepEqual(patients, [
      [[undefined, undefined]],
      [
        [true, 'replaces'],
        [false, 'replaced-by'],
      ],
      [
        [true, undefined],
        [true, undefined],
      ],
    ]);
  });

  it('have the identifier systems that the settings name for authorities, those of a sender before those of all', async () => {
    const bundles: Bundle[] = [];
    const named = await startTestFeed({
      name: 'hl7-feed-authorities',
      settings: {
        authorities: { NORTH: 'https://north.example/mrn', NHS: 'https://fhir.nhs.uk/Id/nhs-number' },
        senders: [{ name: 'adt', hosts: ['127.0.0.1'], authorities: { NORTH: 'urn:oid:2.16.840.1.113883.19' } }],
      },
      applyBundle: async (_, bundle) => {
        bundles.push(bundle as Bundle);
        return [];
      },
    });
    try {
      const message = admission({ controlId: '1', patient: 'P1' }).toString();
      const both = message.replace('P1^^^NORTH^MR', 'P1^^^NORTH^MR~9434765919^^^NHS^NH~7^^^ELSE^PI');
      await named.sender().send(Buffer.from(both));
      await named.sweep();
      const [{ resource } = { resource: {} }] = bundles[0]?.entry ?? [];
      const { identifier = [] } = resource as { identifier?: { system: string; value: string }[] };
      assert.deepEqual(
        identifier.map(({ system, value }) => [system, value]),
        [
          ['urn:oid:2.16.840.1.113883.19', 'P1'],
          ['https://fhir.nhs.uk/Id/nhs-number', '9434765919'],
          ['urn:lantern:hl7-feed:adt:ELSE', '7'],
        ],
      );
    } finally {
      await named.close();
    }
    await assert.rejects(
      startTestFeed({ name: 'hl7-feed-authorities-no', settings: { authorities: { NHS: 'nhs number' } } }),
      (caught) => caught instanceof AppError && caught.code === 'config.invalid',
    );
  });

  it('are forgotten but for their name once they were kept long enough', async () => {
    const sender = feed.sender();
    await sender.send(admission({ controlId: '1' }));
    await feed.sweep();
    await feed.database.pool.query("update hl7_message set received_at = received_at - interval '91 days'");
    await feed.sweep();
    assert.equal((await access.read(1)).isKept, false);
    assert.equal((await sender.send(admission({ controlId: '1' })))?.code, 'AA');
    assert.equal((await rows()).length, 1);
  });
});
