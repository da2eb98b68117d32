/**
 * Keeps the table "What leaves a hospital" in `docs/ARCHITECTURE.md` equal to the contract.
 *
 *   node scripts/egress-document.ts        writes the table into the document
 */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { EGRESS_TABLE, HUB_API } from '@lantern/contract';

const DOCUMENT = path.resolve(import.meta.dirname, '../docs/ARCHITECTURE.md');
const BEGIN = '<!-- egress-table -->';
const END = '<!-- /egress-table -->';

function egressTable(): string {
  const rows = EGRESS_TABLE.map((row) => {
    const { method, path: at } = HUB_API[row.operation];
    return [
      row.message,
      `\`${method} ${at}\``,
      row.holds,
      row.whyNoPatientData,
      row.gate,
      row.egress ?? '-',
      row.approvedBy,
    ];
  });
  const header = [
    'message',
    'operation',
    'holds',
    'why it names no patient',
    'gate',
    'kind in a decision',
    'approved by',
  ];
  return [header, header.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** The document with the table between its marks. */
export function withEgressTable(document: string): string {
  const begin = document.indexOf(BEGIN);
  const end = document.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`docs/ARCHITECTURE.md lacks ${BEGIN} … ${END}`);
  return `${document.slice(0, begin + BEGIN.length)}\n${egressTable()}\n${document.slice(end)}`;
}

export function readArchitecture(): string {
  return readFileSync(DOCUMENT, 'utf8');
}

if (process.argv[1] === import.meta.filename) writeFileSync(DOCUMENT, withEgressTable(readArchitecture()));
