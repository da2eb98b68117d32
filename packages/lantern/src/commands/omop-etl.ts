/**
 * `lantern omop vocabulary | etl | account`: a CDM in a DuckDB file of one's own, made out of FHIR, or that of a site. The account says of every
 * resource that was read how it ended, so that nothing is lost without a word.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { AppError, type RowAccount, SITE_API } from '@lantern/contract';
import {
  type CdmDatabase,
  type EtlResult,
  fhirFileSource,
  fhirFilesBelow,
  loadVocabulary,
  openCdmDatabase,
  readAccount,
  runEtl,
} from '@lantern/site';
import { Command } from 'commander';
import {
  type CommandContext,
  type CommonOptions,
  connected,
  outputOf,
  withConnection,
  withJson,
} from '../cli/command-context.ts';
import { printable, table } from '../cli/output.ts';

/** Of the memory of a small machine; DuckDB spills what does not fit. */
const MEMORY_MIB = 2048;
const THREADS = 2;
const FINDINGS_DEFAULT = '20';

type CdmFileOptions = CommonOptions & { readonly cdm: string };

export function vocabularyCommand(context: CommandContext): Command {
  return withJson(new Command('vocabulary'))
    .description(
      'load the files of a vocabulary (CONCEPT.csv and its like) into a CDM; what was there of them is replaced',
    )
    .argument('<folder>', 'where the files are, as Athena gives them')
    .requiredOption('--cdm <file>', 'the DuckDB file; made when nothing is there')
    .action((folder: string, options: CdmFileOptions) =>
      withCdm(options, async (database) => {
        const output = outputOf(context, options);
        output.note('Loading the vocabulary …');
        const account = await loadVocabulary(database, folder);
        const rows = Object.entries(account).map(([name, count]) => [name, String(count)]);
        output.result({ file: options.cdm, tables: account }, table([['Table', 'Rows'], ...rows]));
      }),
    );
}

type EtlCommandOptions = CommonOptions & {
  readonly cdm?: string;
  readonly rebuild?: boolean;
  readonly findings: string;
};

export function etlCommand(context: CommandContext): Command {
  return withConnection(new Command('etl'))
    .description(
      'make a CDM out of FHIR R4: of files into --cdm, or at a site (--data or --url) out of its own records and images; only patients of whom something changed are made anew',
    )
    .argument('[path]', 'bundles (.json) or one resource a line (.ndjson), also .gz; a file or a folder')
    .option('--cdm <file>', 'the DuckDB file; made when nothing is there')
    .option('--rebuild', 'read all and make every patient anew, as after a change of the vocabulary')
    .option('--findings <count>', 'how many of the most frequent findings to show', FINDINGS_DEFAULT)
    .action(async (path: string | undefined, options: EtlCommandOptions, command: Command) => {
      const { cdm } = options;
      if (path !== undefined && cdm !== undefined) return etlOfFiles(context, path, { ...options, cdm });
      if (path === undefined && cdm === undefined) return passAtSite(context)(command);
      throw new AppError('input.invalid', 'Files and --cdm come together; without them a site makes its own CDM.');
    });
}

function etlOfFiles(context: CommandContext, path: string, options: EtlCommandOptions & CdmFileOptions): Promise<void> {
  return withCdm(options, async (database) => {
    const output = outputOf(context, options);
    const findingCountMax = findingCountOf(options.findings);
    const files = await fhirFilesBelow(path);
    const progress = output.progress('Reading');
    let doneCount = 0;
    try {
      const result = await runEtl(
        database,
        fhirFileSource(files, () => {
          doneCount += 1;
          progress.update(doneCount, files.length);
        }),
        {
          isRebuild: options.rebuild === true,
          signal: context.signal,
          onStep: (step) => output.note(`${step} …`),
        },
      );
      progress.end();
      const account = await readAccount(database, findingCountMax);
      output.result({ file: options.cdm, ...result, account }, `${resultText(result)}\n\n${accountText(account)}`);
    } finally {
      progress.end();
    }
  });
}

/** Asks for a pass, waits for its end, and shows the account. */
function passAtSite(context: CommandContext): (...received: unknown[]) => Promise<void> {
  return connected<EtlCommandOptions>(context, async ({ api }, { output, options, signal }) => {
    const findings = findingCountOf(options.findings);
    let pass = await api.call(SITE_API.askForCdmPass, { body: { isRebuild: options.rebuild === true } });
    output.note(`Pass ${pass.passId} …`);
    while (pass.state === 'waiting' || pass.state === 'running') {
      await delay(POLL_MS, undefined, { signal });
      pass = await api.call(SITE_API.readCdmPass, { params: { passId: pass.passId } });
    }
    if (pass.state === 'failed') throw new AppError('executor.failed', `Pass ${pass.passId} failed: ${pass.reason}`);
    const account = await api.call(SITE_API.readCdmAccount, { query: { findings } });
    const { readCount = 0, changedCount = 0, patientCount = 0, isPublished } = pass;
    const text =
      isPublished === true ? resultText({ readCount, repeatedCount: 0, changedCount, patientCount }) : UNCHANGED;
    output.result({ pass, account }, `${text}\n\n${accountText(account)}`);
  });
}

const UNCHANGED = 'Nothing has changed since the last pass.';
const POLL_MS = 200;

type AccountOptions = CommonOptions & { readonly cdm?: string; readonly findings: string };

export function accountCommand(context: CommandContext): Command {
  return withConnection(new Command('account'))
    .description(
      'how every resource ended that was made into a CDM (--cdm FILE, or that of a site): mapped, mapped with a warning, unmapped or refused',
    )
    .option('--cdm <file>', 'the DuckDB file')
    .option('--findings <count>', 'how many of the most frequent findings to show', FINDINGS_DEFAULT)
    .action(async (options: AccountOptions, command: Command) => {
      const { cdm } = options;
      if (cdm === undefined) return accountOfSite(context)(command);
      return withCdm({ ...options, cdm, mustExist: true }, async (database) => {
        const account = await readAccount(database, findingCountOf(options.findings));
        outputOf(context, options).result(account, accountText(account));
      });
    });
}

function accountOfSite(context: CommandContext): (...received: unknown[]) => Promise<void> {
  return connected<AccountOptions>(context, async ({ api }, { output, options }) => {
    const findings = findingCountOf(options.findings);
    const account = await api.call(SITE_API.readCdmAccount, { query: { findings } });
    output.result(account, accountText(account));
  });
}

async function withCdm(
  { cdm: file, mustExist = false }: { cdm: string; mustExist?: boolean },
  work: (database: CdmDatabase) => Promise<void>,
): Promise<void> {
  const database = await openCdmDatabase({ file, memoryMiB: MEMORY_MIB, threads: THREADS, mustExist });
  try {
    await work(database);
  } finally {
    database.close();
  }
}

function findingCountOf(text: string): number {
  if (/^\d{1,4}$/.test(text)) return Number(text);
  throw new AppError('input.invalid', '--findings: must be a whole number from 0 to 9999.');
}

function resultText({ readCount, repeatedCount, changedCount, patientCount }: EtlResult): string {
  return [
    `Read: ${readCount} resources, ${repeatedCount} of them once more.`,
    `New or changed: ${changedCount}; patients made anew: ${patientCount}.`,
  ].join('\n');
}

const OUTCOMES = ['mapped', 'mapped-with-warning', 'unmapped', 'refused'];

function accountText({ byType, findings }: RowAccount): string {
  const types = [...new Set(byType.map(({ resourceType }) => resourceType))];
  const countOf = (type: string, outcome: string) =>
    byType.find((row) => row.resourceType === type && row.outcome === outcome)?.count ?? '0';
  const rows = types.map((type) => {
    const counts = OUTCOMES.map((outcome) => countOf(type, outcome));
    return [type, ...counts, String(counts.reduce((sum, count) => sum + BigInt(count), 0n))];
  });
  const found = findings.map(({ resourceType, severity, rule, system, code, count }) => [
    resourceType,
    severity,
    rule,
    printable([system, code].filter((part) => part !== null).join(' ')),
    count,
  ]);
  return [
    table([['Resource', 'Mapped', 'With warning', 'Unmapped', 'Refused', 'Sum'], ...rows]),
    ...(found.length === 0 ? [] : ['', table([['Resource', 'Finding', 'Rule', 'Code', 'Resources'], ...found])]),
  ].join('\n');
}
