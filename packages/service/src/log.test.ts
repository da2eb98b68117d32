import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AppError } from '@lantern/contract';
import { createLogger, type Logger } from './log.ts';

/** What one call writes, parsed. */
function logged(write: (log: Logger) => void): Record<string, unknown>[] {
  const lines: string[] = [];
  write(createLogger({ name: 'unit', level: 'info', destination: { write: (line) => void lines.push(line) } }));
  return lines.map((line) => JSON.parse(line));
}

test('a line is one JSON object with time, level, name and message', () => {
  const [line, ...more] = logged((log) => log.warn({ runId: 'run_x', count: 3 }, 'a round is late'));
  assert.deepEqual(more, []);
  assert.equal(line?.['level'], 'warn');
  assert.equal(line?.['name'], 'unit');
  assert.equal(line?.['msg'], 'a round is late');
  assert.equal(line?.['runId'], 'run_x');
  assert.equal(line?.['count'], 3);
  assert.ok(!Number.isNaN(Date.parse(String(line?.['time']))));
});

test('lines below the level are not written', () => {
  assert.deepEqual(
    logged((log) => log.debug('too fine')),
    [],
  );
});

test('secrets and bodies are replaced, however they are spelt and wherever they sit', () => {
  const planted = 'kX9-planted-secret';
  const [line] = logged((log) =>
    log.child({ apiToken: planted }).info(
      {
        headers: { Authorization: `Bearer ${planted}`, 'set-cookie': [planted], 'content-type': 'application/json' },
        user: { pass_word: 1, password: planted, Password: planted },
        deep: { list: [{ more: { token: planted, privateKey: planted } }] },
        body: { family: planted },
        payload: planted,
        databaseUrl: planted,
      },
      'request',
    ),
  );
  assert.ok(!JSON.stringify(line).includes(planted), JSON.stringify(line));
  assert.ok(JSON.stringify(line).includes('application/json'));
});

test('what lies deeper than a log line has reason to be is cut off', () => {
  let nested: Record<string, unknown> = { token: 'planted' };
  for (let depth = 0; depth < 12; depth += 1) nested = { nested };
  const text = JSON.stringify(logged((log) => log.info(nested, 'x')));
  assert.ok(text.includes('[cut]'));
  assert.ok(!text.includes('planted'));
});

test('an error keeps its rule, message and causes, and loses properties that may quote rows', () => {
  const driver = Object.assign(new Error('duplicate key value violates unique constraint "patient_pkey"'), {
    code: '23505',
    detail: 'Key (nhs_number)=(9434765919) already exists.',
  });
  const [line] = logged((log) =>
    log.error({ err: new AppError('conflict', 'It is there already.', { cause: driver }) }, 'x'),
  );
  const text = JSON.stringify(line);
  assert.ok(!text.includes('9434765919'));
  assert.match(text, /"rule":"conflict"/);
  assert.match(text, /"rule":"23505"/);
  assert.match(text, /duplicate key value/);
});

test('a value that is thrown without being an error is not quoted', () => {
  const [line] = logged((log) => log.error({ err: 'Smith, John, 1950-01-02' }, 'x'));
  assert.ok(!JSON.stringify(line).includes('Smith'));
});
