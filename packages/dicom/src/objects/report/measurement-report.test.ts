import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { derivationOf, fixture, stack } from '../../../test/derivations.ts';
import { memorySource } from '../../byte-source.ts';
import { type DataSet, itemsOf, textOf } from '../../data-set.ts';
import { DicomError } from '../../dicom-error.ts';
import { tagOfKeyword } from '../../dictionary.ts';
import { textElement, withElements } from '../../element-values.ts';
import { readPart10 } from '../../part10.ts';
import { part10Of } from '../derived-object.ts';
import { referenceTo } from '../instance-reference.ts';
import { type MeasurementGroup, type MeasurementReport, measurementReportOf } from './measurement-report.ts';
import { readMeasurementReport } from './measurement-report-reader.ts';

const sources = stack(3);
const references = sources.map(referenceTo);
const [source] = sources;
const [first] = references;
assert.ok(source !== undefined && first !== undefined);
const segmentation = {
  ...first,
  sopClassUid: '1.2.840.10008.5.1.4.1.1.66.4',
  seriesInstanceUid: '2.25.61',
  sopInstanceUid: '2.25.62',
};
const tag = (keyword: string) => tagOfKeyword(keyword) ?? 0;

const sct = (value: string, meaning: string) => ({ value, scheme: 'SCT', meaning });
const ucum = (value: string, meaning: string) => ({ value, scheme: 'UCUM', meaning });
const VOLUME = { name: sct('118565006', 'Volume'), value: 1234.5678901234567, unit: ucum('mm3', 'cubic millimeter') };
const MEAN = {
  name: { value: '112031', scheme: 'DCM', meaning: 'Attenuation Coefficient' },
  value: -37.5,
  unit: ucum("[hnsf'U]", 'Hounsfield unit'),
  derivation: sct('373098007', 'Mean'),
  method: { value: '126410', scheme: 'DCM', meaning: 'SUV body weight calculation method' },
};

const segmentGroup: MeasurementGroup = {
  tracking: { id: 'Nodule 1, größer', uid: '2.25.71' },
  findingCategory: sct('49755003', 'Morphologically Abnormal Structure'),
  finding: sct('27925004', 'Nodule'),
  findingSites: [
    { site: sct('39607008', 'Lung'), laterality: sct('24028007', 'Right') },
    { site: sct('3341006', 'Right lung') },
  ],
  region: { kind: 'segment', segmentation, segmentNumber: 2, sourceImages: references.slice(1) },
  measurements: [VOLUME, MEAN],
  evaluations: [
    {
      name: { value: 'RID50149', scheme: 'RADLEX', meaning: 'Malignancy' },
      value: sct('371928007', 'Not significant'),
    },
    { name: { value: '121106', scheme: 'DCM', meaning: 'Comment' }, value: 'Seen in three slices.' },
  ],
};
const outlineGroup: MeasurementGroup = {
  tracking: { id: 'Nodule 2', uid: '2.25.72' },
  region: {
    kind: 'outline',
    outline: {
      graphicType: 'POLYLINE',
      points: [
        [1.5, 2],
        [30, 2.25],
        [1.5, 2],
      ],
    },
    image: { ...first, frameNumber: 4 },
  },
  measurements: [{ ...VOLUME, value: 0.1 + 0.2 }],
};
const imagesGroup: MeasurementGroup = {
  tracking: { id: 'Examination', uid: '2.25.73' },
  region: { kind: 'images', images: references },
  measurements: [{ ...VOLUME, value: 1e-7 }],
};

const REPORT: MeasurementReport = {
  language: { value: 'en', scheme: 'RFC5646', meaning: 'English' },
  proceduresReported: [{ value: '24590-2', scheme: 'LN', meaning: 'MR Brain' }],
  observerUid: '2.25.70',
  algorithm: { name: 'nodule-finder', version: '1.4.2' },
  images: sources,
  groups: [segmentGroup, outlineGroup, imagesGroup],
  completion: 'COMPLETE',
};

const made = (changes: Partial<MeasurementReport> = {}) =>
  measurementReportOf(derivationOf(source), { ...REPORT, ...changes });
const reread = (dataSet: DataSet) => readMeasurementReport(readPart10(memorySource(part10Of(dataSet))).dataSet);
const short = ({ sopClassUid, sopInstanceUid }: typeof first) => ({ sopClassUid, sopInstanceUid });
const refused = (field: string) => (thrown: unknown) =>
  thrown instanceof DicomError && thrown.code === 'object' && thrown.message.startsWith(field);

describe('a measurement report', () => {
  test('tells again all that it was told, every number exactly', () => {
    const read = reread(made());
    const algorithm = { name: 'nodule-finder', version: '1.4.2' };
    const told = ({ region: _, ...group }: MeasurementGroup) => ({
      findingSites: [],
      evaluations: [],
      ...group,
      algorithm,
      measurements: group.measurements.map(({ value, unit, ...rest }) => ({ ...rest, quantity: { value, unit } })),
    });
    assert.deepEqual(read, {
      title: { value: '126000', scheme: 'DCM', meaning: 'Imaging Measurement Report' },
      language: REPORT.language,
      proceduresReported: REPORT.proceduresReported,
      device: { uid: '2.25.70', name: 'nodule-finder' },
      images: references.map(short),
      groups: [
        {
          ...told(segmentGroup),
          regions: [
            {
              kind: 'segment',
              segment: { ...short(segmentation), segmentNumbers: [2] },
              sourceImages: references.slice(1).map(short),
            },
          ],
        },
        {
          ...told(outlineGroup),
          regions: [
            {
              kind: 'outline',
              outline: {
                graphicType: 'POLYLINE',
                points: [
                  [1.5, 2],
                  [30, 2.25],
                  [1.5, 2],
                ],
              },
              image: { ...short(first), frameNumbers: [4] },
            },
          ],
        },
        { ...told(imagesGroup), regions: [{ kind: 'images', images: references.map(short) }] },
      ],
    });
  });

  test('names every instance once as evidence, by its study and series', () => {
    const studies = itemsOf(made(), tag('CurrentRequestedProcedureEvidenceSequence'));
    assert.equal(studies.length, 1);
    const series = studies.flatMap((study) => itemsOf(study, tag('ReferencedSeriesSequence')));
    const counts = series.map((one) => [
      textOf(one, tag('SeriesInstanceUID')),
      itemsOf(one, tag('ReferencedSOPSequence')).length,
    ]);
    assert.deepEqual(counts, [
      [first.seriesInstanceUid, 3],
      ['2.25.61', 1],
    ]);
  });

  test('names an image of an earlier study as other evidence', () => {
    const earlier = { ...first, studyInstanceUid: '2.25.80', sopInstanceUid: '2.25.81' };
    const group: MeasurementGroup = { ...imagesGroup, region: { kind: 'images', images: [earlier] } };
    const [study] = itemsOf(made({ groups: [group] }), tag('PertinentOtherEvidenceSequence'));
    assert.ok(study !== undefined);
    assert.equal(textOf(study, tag('StudyInstanceUID')), '2.25.80');
  });

  test('is unverified, and partial when it is told so', () => {
    const dataSet = made({ completion: 'PARTIAL' });
    assert.equal(textOf(dataSet, tag('VerificationFlag')), 'UNVERIFIED');
    assert.equal(textOf(dataSet, tag('CompletionFlag')), 'PARTIAL');
  });

  test('is refused where it breaks a rule, without telling what stood there', () => {
    const withRegion = (region: MeasurementGroup['region']) => made({ groups: [{ ...imagesGroup, region }] });
    const outline = (points: [number, number][]) =>
      withRegion({ kind: 'outline', outline: { graphicType: 'CIRCLE', points }, image: first });
    assert.throws(() => outline([[1, 1]]), refused('ContentSequence: a CIRCLE has another number of points'));
    assert.throws(
      () =>
        outline([
          [1, 1],
          [Number.NaN, 2],
        ]),
      refused('ContentSequence: coordinates'),
    );
    assert.throws(() => withRegion({ kind: 'images', images: [] }), refused('Source of Measurement'));
    assert.throws(
      () => withRegion({ kind: 'segment', segmentation, segmentNumber: 0, sourceImages: references }),
      refused('ContentSequence: numbers of frames and segments'),
    );
    const infinite = { ...VOLUME, value: Number.POSITIVE_INFINITY };
    assert.throws(
      () => made({ groups: [{ ...imagesGroup, measurements: [infinite] }] }),
      refused('ContentSequence: a number'),
    );
    assert.throws(() => made({ groups: [] }), refused('Measurement Group'));
    assert.throws(() => made({ proceduresReported: [] }), refused('Procedure reported'));
    const stranger = withElements(source, [textElement('PatientID', 'someone else')]);
    assert.throws(
      () => made({ images: [stranger] }),
      (thrown) => refused('PatientID')(thrown) && !String(thrown).includes('someone else'),
    );
    const unit = ucum('x'.repeat(17), 'too long');
    const long = made({ groups: [{ ...imagesGroup, measurements: [{ ...VOLUME, unit }] }] });
    assert.equal(reread(long).groups[0]?.measurements[0]?.quantity?.unit.value, 'x'.repeat(17)); // in LongCodeValue
    const meaning = { ...VOLUME, name: sct('118565006', 'm'.repeat(65)) };
    assert.throws(
      () => made({ groups: [{ ...imagesGroup, measurements: [meaning] }] }),
      (thrown) =>
        thrown instanceof DicomError && thrown.code === 'value' && thrown.message.startsWith('CodeMeaning (0008,0104)'),
    );
  });
});

test('a report that is none of measurements is not read as one', () => {
  assert.throws(() => readMeasurementReport(fixture('reportsi.dcm').dataSet), refused('ContentTemplateSequence'));
  assert.throws(() => readMeasurementReport(fixture('MR_small.dcm').dataSet), refused('ValueType'));
});
