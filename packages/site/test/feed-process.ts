/**
 * A feed as a process of its own, for tests that kill it. Argument: the url of its database and the fault point to arm, as JSON. What
 * it applies becomes rows of `applied_bundle`, which keeps doubles. Prints its port once it is ready.
 */
import { armFaultPoint, createLogger, loadConfig, openDatabase, systemClock } from '@lantern/service';
import { sql } from 'kysely';
import { FeedSettingsSchema } from '../src/hl7-feed/feed-settings.ts';
import { createHl7Feed } from '../src/hl7-feed/hl7-feed.ts';
import { startSweeper } from '../src/sweeper.ts';

const { url, faultPoint }: { url: string; faultPoint?: string } = JSON.parse(process.argv[2] ?? '{}');
armFaultPoint(faultPoint);
const log = createLogger({ name: 'feed', level: 'silent' });
const database = await openDatabase({ url, log, applicationName: 'feed-process' });
const overrides = { port: 0, senders: [{ name: 'lab', hosts: ['127.0.0.1'] }] };
const feed = await createHl7Feed({
  database,
  clock: systemClock,
  log,
  settings: loadConfig({ schema: FeedSettingsSchema, env: {}, prefix: '', overrides }),
  applyBundle: async (tx, _, { sequence }) => {
    await sql`insert into applied_bundle (sequence) values (${sequence}::bigint)`.execute(tx);
    return [];
  },
});
startSweeper(feed.sweeps, log);
process.stdout.write(`${JSON.stringify({ port: await feed.listen() })}\n`);
