/** `lantern audit`: read the audit log of a hub or site and verify its hash chain. */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { AppError, type AuditRecord, COMMON_API } from '@lantern/contract';
import { type AuditVerdict, auditLines, readAuditLines, verifyAuditRecords } from '@lantern/service';
import { Command } from 'commander';
import {
  type CommandContext,
  type CommonOptions,
  connected,
  outputOf,
  withConnection,
  withJson,
} from '../cli/command-context.ts';
import type { Connection } from '../cli/connection.ts';
import { requireFile } from '../cli/file-fault.ts';

const PAGE_RECORDS = 1000;

export function auditCommand(context: CommandContext): Command {
  return new Command('audit')
    .description('the hash-chained record of who did what')
    .addCommand(
      withConnection(new Command('export'))
        .description('every record as JSON lines')
        .action(
          connected(context, async (connection) => {
            const { sequence } = await connection.api.call(COMMON_API.auditHead, {});
            const lines = Readable.from(auditLines(records(connection, sequence)));
            await pipeline(lines, context.stdout, { end: false }); // no faster than the reader takes them
          }),
        ),
    )
    .addCommand(
      withConnection(new Command('verify'))
        .description('check that no record was changed, removed or added')
        .action(
          connected(context, async (connection, { output }) => {
            const count = await verifyChain(connection);
            output.result({ count }, `${count} records, unbroken.`);
          }),
        ),
    )
    .addCommand(
      withJson(new Command('verify-file'))
        .description('check an exported log without its server, against heads kept elsewhere')
        .argument('<file>')
        .option('--head <sequence:hash...>', 'a head that was kept elsewhere')
        .action(async (file: string, options: CommonOptions & { head?: string[] }) => {
          await requireFile(file);
          const lines = createInterface({ input: createReadStream(file) });
          const verdict = await verifyAuditRecords(readAuditLines(lines), (options.head ?? []).map(headArgument));
          const count = soundCount(verdict);
          outputOf(context, options).result({ count }, `${count} records, unbroken.`);
        }),
    );
}

/** Reads the whole chain and compares it with its signed head. Returns how many records it has; throws where it breaks. */
export async function verifyChain(connection: Connection): Promise<number> {
  const { sequence, hash } = await connection.api.call(COMMON_API.auditHead, {});
  return soundCount(await verifyAuditRecords(records(connection, sequence), [{ sequence, hash }]));
}

function headArgument(text: string): { sequence: number; hash: string } {
  const [sequence, hash] = text.split(':');
  if (hash !== undefined && /^\d+$/.test(sequence ?? '')) return { sequence: Number(sequence), hash };
  throw new AppError('input.invalid', '--head is SEQUENCE:HASH.');
}

function soundCount(verdict: AuditVerdict): number {
  if (verdict.ok) return verdict.count;
  const { position, fault } = verdict.firstBad;
  throw new AppError(
    'storage.corrupt',
    `The audit chain breaks at record ${position} (${fault}): it was changed later.`,
  );
}

/** Every record up to `last`: what is written while we read belongs to the next verification. */
async function* records(connection: Connection, last: number): AsyncGenerator<AuditRecord> {
  for (let after = 0; after < last; ) {
    const page = await connection.api.call(COMMON_API.listAudit, {
      query: { after, limit: Math.min(PAGE_RECORDS, last - after) },
    });
    if (page.records.length === 0) return;
    yield* page.records;
    after = page.records.at(-1)?.sequence ?? last;
  }
}
