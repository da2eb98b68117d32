/** An image node as a process of its own, for tests that kill it. Argument: its settings as JSON. Prints its ports once it is ready. */
import { loadConfig } from '@lantern/service';
import { ImageNodeConfigSchema, startImageNode } from '../src/image-node.ts';

const overrides = JSON.parse(process.argv[2] ?? '{}');
const settings = loadConfig({ schema: ImageNodeConfigSchema, env: {}, prefix: '', overrides });
const { url, dicomPort } = await startImageNode(settings, { onSignals: true });
process.stdout.write(`${JSON.stringify({ url, dicomPort })}\n`);
