/** `lantern dicom find` and `lantern dicom worklist`: what a peer has, and what it has planned. They print who the patients are. */
import { AppError } from '@lantern/contract';
import {
  type DataSet,
  dicomJson,
  identifierContext,
  type JsonDataSet,
  keyPath,
  keywordOf,
  queryIdentifier,
  queryWorklist,
  SOP_CLASSES,
} from '@lantern/dicom';
import { Command } from 'commander';
import { type CommandContext, outputOf } from '../cli/command-context.ts';
import { table } from '../cli/output.ts';
import { collect, type PeerOptions, peerOf, withAssociation, withPeer } from './dicom-peer.ts';

const LEVELS = {
  patient: ['PatientID', 'PatientName', 'PatientBirthDate', 'PatientSex'],
  study: [
    'PatientID',
    'PatientName',
    'StudyDate',
    'AccessionNumber',
    'ModalitiesInStudy',
    'StudyDescription',
    'NumberOfStudyRelatedInstances',
    'StudyInstanceUID',
  ],
  series: ['Modality', 'SeriesNumber', 'SeriesDescription', 'NumberOfSeriesRelatedInstances', 'SeriesInstanceUID'],
  image: ['InstanceNumber', 'SOPClassUID', 'SOPInstanceUID'],
} as const;
type Level = keyof typeof LEVELS;

const KEY_HELP = 'what to match, as PatientID=4711 or 0010,0020=47*, or to return, as Modality; repeat for more';

type FindOptions = PeerOptions & { readonly level: string; readonly match: string[]; readonly limit: string };

export function dicomFindCommand(context: CommandContext): Command {
  return withPeer(new Command('find'))
    .description('what a peer has (C-FIND)')
    .option('--level <level>', `one of ${Object.keys(LEVELS).join(', ')}`, 'study')
    .option('-k, --match <key>', KEY_HELP, collect, [])
    .option('--limit <count>', 'stop after so many', '1000')
    .action(async (address: string, options: FindOptions) => {
      const { level } = options;
      if (!isLevel(level)) throw new AppError('input.invalid', `--level: must be ${Object.keys(LEVELS).join(', ')}.`);
      const sopClass = level === 'patient' ? SOP_CLASSES.patientRootFind : SOP_CLASSES.studyRootFind;
      const limit = positive(options.limit);
      const keys = [...LEVELS[level], ...options.match];
      const identifier = identifierFor([`QueryRetrieveLevel=${level.toUpperCase()}`, ...keys]);
      const association = { ...(await peerOf(address, options)), contexts: [identifierContext(sopClass)] };
      const found = await withAssociation({ ...association, signal: context.signal }, async (client) => {
        const matches: DataSet[] = [];
        for await (const match of client.find(identifier, { sopClass })) {
          matches.push(match);
          if (matches.length === limit) break; // which cancels
        }
        return matches;
      });
      const more = found.length === limit ? `\nStopped after ${limit}; --limit allows more.` : '';
      const matches = found.map(dicomJson);
      outputOf(context, options).result({ matches }, `${tableOf(matches, keys)}${more}`);
    });
}

function isLevel(text: string): text is Level {
  return Object.hasOwn(LEVELS, text);
}

function positive(text: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number > 0) return number;
  throw new AppError('input.invalid', '--limit: must be a whole number above 0.');
}

function identifierFor(keys: readonly string[]): DataSet {
  try {
    return queryIdentifier(keys);
  } catch (cause) {
    throw new AppError('input.invalid', `--match: ${cause instanceof Error ? cause.message : 'it is none.'}`, {
      cause,
    });
  }
}

function tableOf(matches: readonly JsonDataSet[], keys: readonly string[]): string {
  if (matches.length === 0) return 'Nothing matches.';
  const paths = new Map(keys.map((key) => [keyPath(key).join('.'), keyPath(key)]));
  const columns = [...paths.values()];
  const head = columns.map((path) => headOf(path.at(-1) ?? 0));
  return table([head, ...matches.map((match) => columns.map((path) => valueAt(match, path)))]);
}

function hex(tag: number): string {
  return tag.toString(16).padStart(8, '0').toUpperCase();
}

function headOf(tag: number): string {
  return keywordOf(tag) ?? hex(tag);
}

/** The values of an element as text; of sequences those in the first item. */
function valueAt(dataSet: JsonDataSet, [tag, ...below]: readonly number[]): string {
  const values = tag === undefined ? [] : (dataSet[hex(tag)]?.Value ?? []);
  const [first] = values;
  if (below.length > 0) return isObject(first) ? valueAt(first as JsonDataSet, below) : '';
  return values.map((value) => (isObject(value) ? Object.values(value).join('=') : String(value ?? ''))).join('\\');
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

type WorklistOptions = PeerOptions & {
  readonly modality?: string;
  readonly station?: string;
  readonly date?: string;
  readonly match: string[];
};

export function dicomWorklistCommand(context: CommandContext): Command {
  return withPeer(new Command('worklist'))
    .description('what examinations a peer has planned (modality worklist)')
    .option('--modality <modality>', 'such as CT')
    .option('--station <title>', 'AE title of the machine')
    .option('--date <date>', 'YYYYMMDD, or a range of two with - between')
    .option('-k, --match <key>', KEY_HELP, collect, [])
    .action(async (address: string, options: WorklistOptions) => {
      const { modality, station: stationAe, date, match: keys } = options;
      identifierFor(keys); // says which key is none before anybody is called
      const contexts = [identifierContext(SOP_CLASSES.worklistFind)];
      const association = { ...(await peerOf(address, options)), contexts, signal: context.signal };
      const entries = await withAssociation(association, (client) =>
        queryWorklist(client, { modality, stationAe, date, keys }),
      );
      outputOf(context, options).result(
        { entries: entries.map(({ dataSet, ...entry }) => ({ ...entry, dataSet: dicomJson(dataSet) })) },
        entries.length === 0
          ? 'Nothing is planned.'
          : table([
              ['Date', 'Time', 'Modality', 'Station', 'Accession', 'PatientID', 'Patient', 'Procedure'],
              ...entries.map((entry) => [
                entry.ScheduledProcedureStepStartDate,
                entry.ScheduledProcedureStepStartTime,
                entry.Modality,
                entry.ScheduledStationAETitle,
                entry.AccessionNumber,
                entry.PatientID,
                entry.PatientName,
                entry.RequestedProcedureDescription || entry.ScheduledProcedureStepDescription,
              ]),
            ]),
      );
    });
}
