/** A site as a process of its own, for tests that kill it. Argument: its settings as JSON. Prints its address once it is ready. */
import { parse } from '@lantern/contract';
import { SiteConfigSchema } from '../src/config.ts';
import { startSite } from '../src/main.ts';

const settings = parse(SiteConfigSchema, JSON.parse(process.argv[2] ?? '{}'), { what: 'settings' });
const site = await startSite(settings, { onSignals: true });
process.stdout.write(`${JSON.stringify({ url: site.url })}\n`);
