import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePostmasterFile } from './postmaster.ts';

/** As PostgreSQL 18.4 writes it: the status is padded, and the last two lines appear while it starts. */
const FILE = `4711
/var/lib/lantern/postgres/cluster
1780000000
5432
/var/lib/lantern/postgres/run

  1325465     65547
ready   
`;

test('the lock file of a server names its process, its socket folder and whether it is ready', () => {
  assert.deepEqual(parsePostmasterFile(FILE), {
    pid: 4711,
    socketDir: '/var/lib/lantern/postgres/run',
    status: 'ready',
  });
});

test('a server that is just starting has no status yet', () => {
  const begun = FILE.split('\n').slice(0, 5).join('\n');
  assert.deepEqual(parsePostmasterFile(begun), { pid: 4711, socketDir: '/var/lib/lantern/postgres/run', status: '' });
});

test('a file that was cut off or names no process is no lock', () => {
  for (const text of ['', '\n', 'x\n/var', '0\n', '-4711\n/single-user']) {
    assert.equal(parsePostmasterFile(text), undefined, JSON.stringify(text));
  }
});
