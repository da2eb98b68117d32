/** A FHIR server in a process of its own, to be killed: prints its address. */
import { readFileSync } from 'node:fs';
import { loadConfig } from '@lantern/service';
import { FhirNodeConfigSchema, startFhirNode } from '../src/fhir-node.ts';

const fileText = readFileSync(process.argv[2] ?? '', 'utf8');
const node = await startFhirNode(
  loadConfig({ schema: FhirNodeConfigSchema, fileText, env: {}, prefix: '', overrides: {} }),
);
process.stdout.write(`${node.url}\n`);
