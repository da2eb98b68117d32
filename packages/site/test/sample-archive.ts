/** Seven studies that queries can tell apart, and how to ask for them by C-FIND. */
import {
  type DataSet,
  dataSetOfJson,
  dicomJson,
  identifierContext,
  type JsonDataSet,
  keywordOf,
  openAssociation,
  SOP_CLASSES,
  tagOfKeyword,
} from '@lantern/dicom';
import { OWN_AE, PEER_AE, type TestImaging, takeIn } from './imaging-harness.ts';
import { type SyntheticImage, syntheticInstance } from './synthetic-images.ts';

type Study = Omit<SyntheticImage, 'series' | 'number'> & { readonly modalities: readonly string[] };

const STUDIES: readonly Study[] = [
  {
    study: 1,
    patientName: 'Doe^Jane',
    modalities: ['CT', 'CT'],
    others: { StudyDate: '20260115', StudyTime: '101112' },
    request: { RequestedProcedureID: 'RP1', ScheduledProcedureStepID: 'SPS1' },
  },
  { study: 2, patientName: 'doe^john', modalities: ['MR'], others: { StudyDate: '20260215', StudyTime: '223000.5' } },
  {
    study: 3,
    patientName: 'Müller^Änne',
    modalities: ['CT', 'PT'],
    others: { StudyDate: '20260315', StudyTime: '1030', AccessionNumber: 'B77' },
    request: { RequestedProcedureID: 'RP3', ScheduledProcedureStepID: 'SPS1' },
  },
  {
    study: 4,
    patientName: 'Yamada^Tarou=山田^太郎=やまだ^たろう',
    modalities: ['CR'],
    others: { StudyDate: '20260415', StudyTime: '000000' },
  },
  {
    study: 5,
    patientName: 'Doe^Jane',
    patientId: 'P1',
    modalities: ['US'],
    others: {
      StudyDate: '20251231',
      StudyTime: '235959.999999',
      StudyDescription: "100% a_b [x] '; drop table image_study --",
    },
  },
  { study: 6, patientName: 'Doe', modalities: ['CT'], others: { StudyDate: '20260115', StudyTime: '090000' } },
  {
    study: 7,
    patientName: '',
    patientId: '',
    modalities: ['OT'],
    others: { StudyDate: '', StudyTime: '', AccessionNumber: '', StudyDescription: '' },
  },
];

/** Two instances in each series. */
export async function fillArchive({ imaging }: Pick<TestImaging, 'imaging'>): Promise<void> {
  for (const { modalities, ...study } of STUDIES) {
    for (const [series, modality] of modalities.entries()) {
      for (const number of [1, 2]) {
        const others = { ...study.others, Modality: modality };
        await takeIn(imaging, syntheticInstance({ ...study, series: series + 1, number, others }));
      }
    }
  }
}

const VRS: Readonly<Record<string, string>> = {
  QueryRetrieveLevel: 'CS',
  StudyDate: 'DA',
  PatientBirthDate: 'DA',
  StudyTime: 'TM',
  PatientName: 'PN',
  ReferringPhysicianName: 'PN',
  ModalitiesInStudy: 'CS',
  Modality: 'CS',
  SeriesNumber: 'IS',
  InstanceNumber: 'IS',
};

/** Values are taken as they stand, however wrong; several are separated by backslashes. */
export function identifier(keys: Readonly<Record<string, string | Readonly<Record<string, string>>>>): DataSet {
  return dataSetOfJson(jsonOf(keys));
}

function jsonOf(keys: Readonly<Record<string, string | Readonly<Record<string, string>>>>): object {
  return Object.fromEntries(
    Object.entries(keys).map(([keyword, value]) => {
      const tag = (tagOfKeyword(keyword) ?? 0).toString(16).padStart(8, '0');
      if (typeof value !== 'string') return [tag, { vr: 'SQ', Value: [jsonOf(value)] }];
      const vr = VRS[keyword] ?? (keyword.endsWith('UID') ? 'UI' : 'LO');
      return [tag, { vr, Value: value === '' ? [] : value.split('\\') }];
    }),
  );
}

export type FindOptions = {
  readonly model?: string;
  readonly callingAe?: string;
  readonly signal?: AbortSignal;
};

/** The matches as their keywords name them: texts and numbers alone, names by their alphabetic group, several values joined. */
export async function find(
  port: number,
  request: DataSet,
  options: FindOptions = {},
): Promise<Record<string, string>[]> {
  const matches: Record<string, string>[] = [];
  for await (const match of findRaw(port, request, options)) matches.push(readable(dicomJson(match)));
  return matches;
}

export async function* findRaw(port: number, request: DataSet, options: FindOptions = {}): AsyncGenerator<DataSet> {
  const { model = SOP_CLASSES.studyRootFind, callingAe = PEER_AE, signal } = options;
  const client = await openAssociation({
    host: '127.0.0.1',
    port,
    calledAe: OWN_AE,
    callingAe,
    contexts: [identifierContext(model)],
  });
  try {
    yield* client.find(request, { sopClass: model, ...(signal === undefined ? {} : { signal }) });
  } finally {
    await client.release();
  }
}

export function readable(json: JsonDataSet): Record<string, string> {
  return Object.fromEntries(
    Object.entries(json).map(([tag, { vr, Value: values = [] }]) => {
      const texts = values.map((value) => (vr === 'SQ' ? JSON.stringify(readable(Object(value))) : textOf(value)));
      return [keywordOf(Number.parseInt(tag, 16)) ?? tag, texts.join('\\')];
    }),
  );
}

function textOf(value: unknown): string {
  return typeof value === 'object' && value !== null && 'Alphabetic' in value
    ? String(value.Alphabetic)
    : String(value);
}
