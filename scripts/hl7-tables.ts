/**
 * Writes docs/HL7-V2-TABLES.md: how many rows of HL7's tables of v2 to FHIR are carried out, and each that is not, with the reason.
 *
 *   node scripts/hl7-tables.ts
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { DATATYPE_MAPS } from '../packages/hl7/src/v2/generated/datatype-maps.ts';
import { MESSAGE_MAPS } from '../packages/hl7/src/v2/generated/message-maps.ts';
import { SEGMENT_MAPS } from '../packages/hl7/src/v2/generated/segment-maps.ts';
import { mapTable } from '../packages/hl7/src/v2/mapping/map-tables.ts';
import { structureOf } from '../packages/hl7/src/v2/mapping/message-structure.ts';

const REASONS: Readonly<Record<string, string>> = {
  target: 'the target is not written as a path',
  'no element of R4': 'R4 has no such element',
  condition: 'the condition is not understood',
  assignment: 'the value is an instruction to a person, or none',
  vocabulary: 'there is no such table of codes',
  'map of the data type': 'the table of the data type does not fit the target',
};

/** The whole page. */
export function hl7TablesDocument(): string {
  const names = [...Object.keys(SEGMENT_MAPS), ...Object.keys(DATATYPE_MAPS)];
  const counts: Record<string, number> = {};
  const listed: string[] = [];
  for (const name of names) {
    for (const row of mapTable(name)?.rows ?? []) {
      counts[row.kind] = (counts[row.kind] ?? 0) + 1;
      if (row.kind !== 'not-understood') continue;
      listed.push(
        `| ${name} | ${row.text.replaceAll('|', '·').replaceAll(/( ·)+\s*$/g, '')} | ${REASONS[row.why] ?? row.why} |`,
      );
    }
  }
  const places = Object.keys(MESSAGE_MAPS).flatMap((name) => structureOf(name)?.places ?? []);
  const rowCount = places.reduce((sum, { rows }) => sum + rows.length, 0);
  const unread = places.filter(({ unreadCount }) => unreadCount > 0);
  return `# HL7's tables of v2 to FHIR, and what is carried out of them

Messages are mapped by the tables that HL7 publishes ("HL7 Version 2 to FHIR"), row by row. Their conditions are written for people; those that follow a pattern are parsed (packages/hl7/src/v2/mapping/condition.ts), slips with one meaning are mended there and in target-path.ts. What is not understood is never guessed at. This page is printed by scripts/hl7-tables.ts; a test keeps it equal.

Of ${names.length} tables of segments and data types: ${counts['row'] ?? 0} rows are carried out, ${counts['unmapped'] ?? 0} map nothing by HL7's own decision, ${counts['alternative'] ?? 0} are the other of two alternatives (an assigning authority becomes the system of an identifier, not an organisation), ${counts['not-understood'] ?? 0} are not carried out. Of ${Object.keys(MESSAGE_MAPS).length} structures of messages ${rowCount} rows are carried out, ${unread.reduce((sum, one) => sum + one.unreadCount, 0)} not${unread.length === 0 ? '' : `: ${unread.map(({ identifier }) => identifier).join(', ')}`}.

What we add: identifiers without a system get one of their sender's; records that name no patient belong to the only one of the message; what FHIR needs and the message does not say is marked as unknown; what events of ADT do beyond their segments, which has no table (packages/hl7/src/v2/mapping/adt-events.ts). Structures without a table borrow: OMG, RDE and RDS that of ORM_O01, all others patient and visit of ADT_A01; the message then says so.

| table | row (source · condition · narrative · target · data type · codes · value) | why not |
| --- | --- | --- |
${listed.join('\n')}
`;
}

if (import.meta.main) writeFileSync(path.resolve(import.meta.dirname, '../docs/HL7-V2-TABLES.md'), hl7TablesDocument());
