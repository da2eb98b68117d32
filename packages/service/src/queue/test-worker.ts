/**
 * A worker process for the tests that kill one: connects to the database given as the first argument, takes the job "hold",
 * says so on standard output and then never ends it.
 */
import { createLogger } from '../log.ts';
import { openDatabase } from '../postgres/database.ts';
import { createQueue } from './queue.ts';

const log = createLogger({ name: 'test-worker', level: 'silent' });
const db = await openDatabase({ url: process.argv[2], log, applicationName: 'test-worker' });
const queue = createQueue({
  db,
  log,
  concurrency: 1,
  tasks: {
    hold: (_payload, { jobId }) => {
      process.stdout.write(`holds ${jobId}\n`);
      return new Promise(() => undefined);
    },
  },
});
await queue.start();
