/**
 * A process that owns an embedded PostgreSQL, for the tests that kill it: starts it in the folder given as first argument,
 * prints the server's process id, then commits the numbers 1, 2, 3 ... and prints each when its commit is acknowledged.
 * With a second argument "once" it commits one number, stops cleanly and prints the user the server ran as.
 */
import { readFile } from 'node:fs/promises';
import pg from 'pg';
import { createLogger } from '../log.ts';
import { startEmbeddedPostgres } from './embedded.ts';

const [, , dataDir = '', mode] = process.argv;
const server = await startEmbeddedPostgres({ dataDir, log: createLogger({ name: 'test-owner', level: 'silent' }) });
const client = new pg.Client({ connectionString: server.url });
await client.connect();
await client.query('create table if not exists acknowledged (number int primary key)');
process.stdout.write(`${server.pid()}\n`);
if (mode === 'once') {
  await client.query('insert into acknowledged values (1)');
  const status = await readFile(`/proc/${server.pid()}/status`, 'utf8');
  await client.end();
  await server.close();
  process.stdout.write(`${/^Uid:\s+(\d+)/m.exec(status)?.[1]}\n`);
} else {
  for (let number = 1; ; number += 1) {
    await client.query('insert into acknowledged values ($1)', [number]);
    process.stdout.write(`${number}\n`);
  }
}
