/** A hub in a process of its own, for tests that kill it: settings as JSON in the first argument, its url on stdout. */
import { startHub } from '../src/main.ts';

const hub = await startHub(JSON.parse(process.argv[2] ?? '{}'), { onSignals: true });
process.stdout.write(`${JSON.stringify({ url: hub.url })}\n`);
