/**
 * Keeps docs/DICOM-CONFORMANCE.md equal to the tables of the code.
 *
 *   node scripts/dicom-conformance.ts        writes the document
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { conformanceStatement } from '@lantern/site';

export const CONFORMANCE_DOCUMENT = path.resolve(import.meta.dirname, '../docs/DICOM-CONFORMANCE.md');

if (process.argv[1] === import.meta.filename) writeFileSync(CONFORMANCE_DOCUMENT, conformanceStatement());
