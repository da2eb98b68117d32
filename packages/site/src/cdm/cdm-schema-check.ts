/** Whether a database holds a CDM where it was looked for. */
import { AppError } from '@lantern/contract';
import type { CdmNeeds } from '@lantern/omop';
import type { TextRow } from '@lantern/service';

/** No database of a hospital has more; a list of all would be no help. */
const SCHEMAS_SHOWN_MAX = 10;

/** Rows of (table, column), to columns by table. Throws `dataset.invalid`: without persons it is no CDM. */
export function tablesOf(
  rows: readonly TextRow[],
  { schema, schemasWithPersons }: { schema: string | undefined; schemasWithPersons: readonly string[] },
): CdmNeeds {
  const tables = new Map<string, Set<string>>();
  for (const [table, column] of rows) {
    const name = (table ?? '').toLowerCase();
    tables.set(name, (tables.get(name) ?? new Set()).add((column ?? '').toLowerCase()));
  }
  if (tables.has('person')) return tables;
  const where = schema === undefined ? 'The database' : `The schema "${schema}"`;
  const others = schemasWithPersons.slice(0, SCHEMAS_SHOWN_MAX);
  const advice = others.length === 0 ? '' : ` A table of that name lies in ${others.join(', ')}; name one by --schema.`;
  throw new AppError('dataset.invalid', `${where} holds no table "person" of a CDM.${advice}`, { field: 'schema' });
}
