import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { type AuditRecord, canonicalJson } from '@lantern/contract';
import { manualClock } from '../clock.ts';
import { generateKeyPair } from '../identity/key-pair.ts';
import { migrateService } from '../identity/service-migrations.ts';
import type { Database } from '../postgres/database.ts';
import { openTestDatabase } from '../postgres/test-database.ts';
import { appendAudit, changeAudited, openAuditHead, readAudit, readAuditHead, signAuditHead } from './audit-log.ts';
import { type AuditHead, auditHash, checkedEntry, GENESIS_HASH, type NewAudit } from './audit-record.ts';
import { type AuditVerdict, auditLines, readAuditLines, verifyAudit, verifyAuditRecords } from './audit-verifier.ts';

const at = new Date('2026-03-01T08:00:00.125Z');

function entry(index: number): NewAudit {
  return {
    at: new Date(at.getTime() + index * 1000),
    actor: `user_${index % 3}`,
    action: ['project.submit', 'project.approve', 'account.disable'][index % 3] ?? '',
    object: `proj_${index}`,
    outcome: (['success', 'refused', 'failure'] as const)[index % 3] ?? 'success',
    details: { round: index, rows: index * 1.5, relaxed: index % 2 === 0, reason: `rule "${index}" \\ – ü 💡` },
  };
}

/** The record that follows `head`, made without a database. */
function nextAuditRecord(head: AuditHead, next: NewAudit): AuditRecord {
  const unhashed = { ...checkedEntry(next), sequence: head.sequence + 1, previousHash: head.hash };
  return { ...unhashed, hash: auditHash(unhashed) };
}

/** A sound chain made without a database. */
function chain(length: number): AuditRecord[] {
  const records: AuditRecord[] = [];
  for (let index = 0; index < length; index += 1) {
    const last = records.at(-1);
    records.push(nextAuditRecord({ sequence: last?.sequence ?? 0, hash: last?.hash ?? GENESIS_HASH }, entry(index)));
  }
  return records;
}

const headOf = (records: readonly AuditRecord[]) => ({
  sequence: records.at(-1)?.sequence ?? 0,
  hash: records.at(-1)?.hash ?? GENESIS_HASH,
});

describe('the audit log of a database', () => {
  let db: Database;
  before(async () => {
    db = await openTestDatabase('audit');
    await migrateService(db);
  });
  after(() => db.close());

  const append = (index: number) => db.transaction((tx) => appendAudit(tx, entry(index)));

  test('starts as an empty chain that verifies', async () => {
    assert.deepEqual(await verifyAudit(db), { ok: true, count: 0, head: { sequence: 0, hash: GENESIS_HASH } });
  });

  test('never forks and has no gap when many transactions append at once and some roll back', async () => {
    const work = Array.from({ length: 60 }, (_, index) =>
      db.transaction(async (tx) => {
        await appendAudit(tx, entry(index));
        if (index % 4 === 3) throw new RangeError('rolled back');
      }),
    );
    const results = await Promise.allSettled(work);
    assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 45);
    const verdict = await verifyAudit(db);
    assert.deepEqual(verdict, { ok: true, count: 45, head: await readAuditHead(db) });
    const { rows } = await db.pool.query('SELECT max(sequence)::int AS max, count(*)::int AS count FROM audit_record');
    assert.deepEqual(rows, [{ max: 45, count: 45 }]);
  });

  test('records a change made in the same statement, and nothing when nothing changed', async () => {
    const tables = db.kysely<{ sign_in_attempt: { name: string; window_started_at: Date; attempts: number } }>();
    await tables
      .insertInto('sign_in_attempt')
      .values({ name: 'audited', window_started_at: at, attempts: 1 })
      .execute();
    const change = (from: number) =>
      tables
        .updateTable('sign_in_attempt')
        .set({ attempts: 2 })
        .where('name', '=', 'audited')
        .where('attempts', '=', from)
        .returning('name');
    const head = await readAuditHead(db);
    const race = await Promise.all(
      [1, 1, 1].map((from, index) => changeAudited(db.kysely(), change(from), entry(index))),
    );
    assert.equal(race.filter(Boolean).length, 1);
    const recorded = await readAudit(db, { after: head.sequence, limit: 10 });
    assert.deepEqual(recorded, [nextAuditRecord(head, entry(race.indexOf(true)))]);
    assert.equal((await verifyAudit(db)).ok, true);
  });

  test('gives records back as they were appended, page by page', async () => {
    const head = await readAuditHead(db);
    await append(123);
    const page = await readAudit(db, { after: head.sequence, limit: 10 });
    assert.deepEqual(page, [nextAuditRecord(head, entry(123))]);
    assert.deepEqual(page[0]?.details, { round: 123, rows: 184.5, relaxed: false, reason: 'rule "123" \\ – ü 💡' });
    assert.deepEqual(
      (await readAudit(db, { after: 3, limit: 4 })).map(({ sequence }) => sequence),
      [4, 5, 6, 7],
    );
  });

  test('refuses an entry that could carry more than short facts', async () => {
    const wrong: readonly object[] = [
      { details: { text: 'x'.repeat(201) } },
      { details: { nested: { name: 'x' } } },
      { details: { list: ['x'] } },
      { details: { 'not a name': 1 } },
      { details: Object.fromEntries(Array.from({ length: 17 }, (_, index) => [`k${index}`, index])) },
      { details: { line: 'a\nb' } },
      { details: { nan: Number.NaN } },
      { actor: '' },
      { object: 'a\u0000b' },
      { outcome: 'maybe' },
      { patient: 'x' },
    ];
    const before = await readAuditHead(db);
    for (const change of wrong) {
      const appending = db.transaction((tx) => appendAudit(tx, { ...entry(1), ...change }));
      await assert.rejects(appending, { code: 'internal' }, JSON.stringify(change));
    }
    assert.deepEqual(await readAuditHead(db), before);
  });

  test('cannot be changed, thinned or emptied by SQL of ours', async () => {
    for (const statement of [
      "UPDATE audit_record SET actor = 'x' WHERE sequence = 2",
      'DELETE FROM audit_record WHERE sequence = 2',
      'TRUNCATE audit_record',
    ]) {
      await assert.rejects(db.pool.query(statement), /audit records are permanent/);
    }
    assert.equal((await verifyAudit(db)).ok, true);
  });

  test('changed by somebody who may drop the guard is found with its first bad record', async () => {
    const { rows } = await db.pool.query('SELECT count(*)::int AS count FROM audit_record');
    const { count } = rows[0];
    const attacks: readonly (readonly [string, number, string])[] = [
      // Of any record: which one is the eighth depends on the order in which the appends beside each other committed.
      [
        `UPDATE audit_record SET outcome = CASE outcome WHEN 'success' THEN 'failure' ELSE 'success' END
        WHERE sequence = 8`,
        8,
        'hash',
      ],
      ["UPDATE audit_record SET details = details || ' ' WHERE sequence = 9", 9, 'form'],
      ["UPDATE audit_record SET details = 'no JSON' WHERE sequence = 9", 9, 'form'],
      ['DELETE FROM audit_record WHERE sequence = 12', 12, 'sequence'],
      ['UPDATE audit_record SET sequence = sequence + 1000 WHERE sequence = 5', 5, 'sequence'],
      [`DELETE FROM audit_record WHERE sequence > ${count - 3}`, count - 2, 'truncated'],
    ];
    for (const [statement, position, fault] of attacks) {
      const client = await db.pool.connect();
      try {
        await client.query('BEGIN; ALTER TABLE audit_record DISABLE TRIGGER ALL');
        const { rowCount } = await client.query(statement);
        assert.ok((rowCount ?? 0) > 0, statement);
        await client.query('COMMIT');
        const verdict = await verifyAudit(db);
        assert.deepEqual(!verdict.ok && verdict.firstBad, { position, fault }, statement);
      } finally {
        await client.query('ROLLBACK');
        client.release();
      }
      await restore(db);
    }
  });

  test('cut at its end together with its own head is found through a head that was kept elsewhere', async () => {
    const keyPair = generateKeyPair();
    const { envelope, sequence, hash } = await signAuditHead(db, {
      keyPair,
      clock: manualClock('2026-03-01T09:00:00Z'),
    });
    const anchored = openAuditHead(envelope, keyPair);
    assert.deepEqual(anchored, { schema: 'lantern.audit-head/1', sequence, hash, at: '2026-03-01T09:00:00.000Z' });
    assert.throws(() => openAuditHead(envelope, generateKeyPair()), { code: 'envelope.rejected' });
    await db.pool.query(`
      ALTER TABLE audit_record DISABLE TRIGGER ALL;
      DELETE FROM audit_record WHERE sequence > ${sequence - 2};
      UPDATE audit_head SET (sequence, hash) = (SELECT sequence, hash FROM audit_record ORDER BY sequence DESC LIMIT 1)`);
    assert.equal((await verifyAudit(db)).ok, true, 'the chain alone is whole');
    const verdict = await verifyAudit(db, [anchored]);
    assert.deepEqual(!verdict.ok && verdict.firstBad, { position: sequence - 1, fault: 'truncated' });

    // Going on from there makes another branch: the kept head finds that too.
    for (const index of [1, 2, 3]) await append(index);
    const branched = await verifyAudit(db, [anchored]);
    assert.deepEqual(!branched.ok && branched.firstBad, { position: sequence, fault: 'anchor' });
  });

  async function restore(database: Database): Promise<void> {
    const sound = chain((await readAuditHead(database)).sequence);
    await database.pool.query('ALTER TABLE audit_record DISABLE TRIGGER ALL; DELETE FROM audit_record');
    for (const record of sound) {
      const { sequence, actor, action, object, outcome, previousHash, hash } = record;
      await database.pool.query('INSERT INTO audit_record VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)', [
        ...[sequence, record.at, actor, action, object, outcome, canonicalJson(record.details), previousHash, hash],
      ]);
    }
    await database.pool.query('UPDATE audit_head SET hash = $1', [headOf(sound).hash]);
    assert.equal((await verifyAudit(database)).ok, true);
  }
});

describe('the audit verifier', () => {
  const sound = chain(40);

  test('accepts a sound chain, its anchors, and its export read back', async () => {
    const anchors = [headOf(sound.slice(0, 7)), headOf(sound)];
    const expected: AuditVerdict = { ok: true, count: 40, head: headOf(sound) };
    assert.deepEqual(await verifyAuditRecords(sound, anchors), expected);
    assert.deepEqual(await verifyAuditRecords(readAuditLines(auditLines(sound)), anchors), expected);
  });

  test('finds a chain that was rewritten as a whole through one kept head', async () => {
    const rewritten: AuditRecord[] = [];
    for (const record of sound) {
      const head = headOf(rewritten);
      const changed = record.sequence === 11 ? { ...entry(10), actor: 'somebody-else' } : entry(record.sequence - 1);
      rewritten.push(nextAuditRecord(head, changed));
    }
    assert.equal((await verifyAuditRecords(rewritten)).ok, true);
    const verdict = await verifyAuditRecords(rewritten, [headOf(sound.slice(0, 20))]);
    assert.deepEqual(verdict, { ok: false, count: 19, firstBad: { position: 20, fault: 'anchor' } });
  });

  test('finds a repeated record, a second branch and a foreign record', async () => {
    const fork = nextAuditRecord(headOf(sound.slice(0, 9)), { ...entry(9), actor: 'fork' });
    const cases: readonly [unknown[], number, string][] = [
      [[...sound.slice(0, 10), ...sound.slice(9)], 11, 'sequence'],
      [[...sound, ...sound], 41, 'sequence'],
      [[...sound.slice(0, 9), fork, ...sound.slice(10)], 11, 'previous-hash'],
      [[...sound.slice(0, 9), { ...sound[9], note: 'x' }], 10, 'form'],
      [[...sound.slice(1)], 1, 'sequence'],
    ];
    for (const [records, position, fault] of cases) {
      const verdict = await verifyAuditRecords(records);
      assert.deepEqual(!verdict.ok && verdict.firstBad, { position, fault });
    }
  });

  test('finds every one of 1,000 random tamperings of an exported log', async () => {
    const seed = randomInt(2 ** 31);
    console.log(`seed ${seed}`);
    const random = mulberry32(seed);
    const short = sound.slice(0, 16);
    const lines = await collect(auditLines(short));
    const anchors = [headOf(short)];
    for (let round = 0; round < 1000; round += 1) {
      const tampered = tamper(lines, random);
      if (tampered.join('') === lines.join('')) continue;
      const verdict = await verifyAuditRecords(readAuditLines(iterate(tampered)), anchors);
      assert.equal(verdict.ok, false, `seed ${seed}, round ${round}`);
    }
  });
});

async function collect(lines: AsyncIterable<string>): Promise<string[]> {
  const all: string[] = [];
  for await (const line of lines) all.push(line);
  return all;
}

async function* iterate(lines: readonly string[]): AsyncGenerator<string, void, undefined> {
  yield* lines;
}

/** A small generator with a seed, so that a failure can be replayed. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

function tamper(lines: readonly string[], random: () => number): string[] {
  const copy = [...lines];
  const [a, b] = [Math.floor(random() * copy.length), Math.floor(random() * copy.length)];
  const [lineA = '', lineB = ''] = [copy[a], copy[b]];
  switch (Math.floor(random() * 7)) {
    case 0: {
      // flip a bit
      const bytes = Buffer.from(lineA);
      const index = Math.floor(random() * (bytes.length - 1));
      bytes.writeUInt8(bytes.readUInt8(index) ^ (1 << Math.floor(random() * 8)), index);
      copy[a] = bytes.toString();
      return copy;
    }
    case 1: // delete
      copy.splice(a, 1);
      return copy;
    case 2: // swap
      copy[a] = lineB;
      copy[b] = lineA;
      return copy;
    case 3: // cut the end
      return copy.slice(0, Math.max(1, a));
    case 4: // replay
      copy.splice(b, 0, lineA);
      return copy;
    case 5: {
      // edit and hash again, as somebody who knows the format would
      const record: AuditRecord = JSON.parse(lineA);
      const { hash: _, ...rest } = { ...record, actor: `${record.actor}x` };
      copy[a] = `${canonicalJson({ ...rest, hash: auditHash(rest) })}\n`;
      return copy;
    }
    default: // fork: everything from here on is another history
      return [...copy.slice(0, a), ...fork(copy.slice(a))];
  }
}

function fork(lines: readonly string[]): string[] {
  let previous: AuditRecord | undefined;
  return lines.map((line) => {
    const record: AuditRecord = JSON.parse(line);
    const { hash: _, ...rest } = {
      ...record,
      object: `${record.object}-forked`,
      previousHash: previous?.hash ?? record.previousHash,
    };
    previous = { ...rest, hash: auditHash(rest) };
    return `${canonicalJson(previous)}\n`;
  });
}
