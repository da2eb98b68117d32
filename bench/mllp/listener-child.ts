/** A listener in a process of its own: the feed of a site over a database, or a peer that stores nothing. */
import { parseArgs } from 'node:util';
import { startMllpServer } from '@lantern/hl7';
import { createLogger, loadConfig, openDatabase, systemClock } from '@lantern/service';
import { FeedSettingsSchema } from '../../packages/site/src/hl7-feed/feed-settings.ts';
import { createHl7Feed } from '../../packages/site/src/hl7-feed/hl7-feed.ts';

const { values } = parseArgs({ options: { kind: { type: 'string' }, url: { type: 'string' } } });

async function startFeed(url: string): Promise<number> {
  const log = createLogger({ name: 'feed', level: 'warn' });
  const database = await openDatabase({ url, log, applicationName: 'bench-mllp' });
  const overrides = { port: 0, senders: [{ name: 'bench', hosts: ['127.0.0.1'] }] };
  const settings = loadConfig({ schema: FeedSettingsSchema, env: {}, prefix: '', overrides });
  const feed = await createHl7Feed({ database, clock: systemClock, log, settings });
  return feed.listen();
}

/** Our framing alone: acknowledges by text, parses and stores nothing. What the rest of our work costs. */
async function startBare(): Promise<number> {
  const server = await startMllpServer({
    port: 0,
    host: '127.0.0.1',
    receive: async (content) => {
      const id = content.toString('latin1', 0, 256).split('|')[9] ?? '';
      return [Buffer.from(`MSH|^~\\&|||||||ACK|1|P|2.5.1\rMSA|AA|${id}\r`)];
    },
  });
  return server.port;
}

const port = values.kind === 'bare' ? await startBare() : await startFeed(values.url ?? '');
process.stdout.write(`${JSON.stringify({ port })}\n`);
process.on('SIGTERM', () => process.exit(0)); // the database is the bench's; what was acknowledged is in it
