import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DicomError } from '../dicom-error.ts';
import { dicomJson } from '../dicom-json.ts';
import { queryIdentifier } from './query-keys.ts';

const isValueFault = (thrown: unknown) => thrown instanceof DicomError && thrown.code === 'value';

describe('keys of a query', () => {
  test('are keywords or tags with a value to match, or without one to be returned', () => {
    const identifier = queryIdentifier([
      'PatientID=47*',
      '0008,0020=20260101-20260131',
      '(0008,0050)',
      'Rows=512',
      'Columns',
    ]);
    assert.deepEqual(dicomJson(identifier), {
      '00080020': { vr: 'DA', Value: ['20260101-20260131'] },
      '00080050': { vr: 'SH' },
      '00100020': { vr: 'LO', Value: ['47*'] },
      '00280010': { vr: 'US', Value: [512] },
      '00280011': { vr: 'US' },
    });
  });

  test('reach into the item of a sequence, and the last of two counts', () => {
    const identifier = queryIdentifier([
      'ScheduledProcedureStepSequence.Modality',
      'ScheduledProcedureStepSequence.ScheduledStationAETitle=CT1',
      'ScheduledProcedureStepSequence.Modality=CT',
      'ScheduledProcedureStepSequence',
      'RequestedProcedureCodeSequence',
    ]);
    assert.deepEqual(dicomJson(identifier), {
      '00321064': { vr: 'SQ', Value: [{}] },
      '00400100': {
        vr: 'SQ',
        Value: [{ '00080060': { vr: 'CS', Value: ['CT'] }, '00400001': { vr: 'AE', Value: ['CT1'] } }],
      },
    });
  });

  test('hold several values, an equals sign, and letters outside ASCII, then in UTF-8', () => {
    const identifier = queryIdentifier([
      'StudyInstanceUID=1.2.3\\1.2.4',
      'StudyDescription=a=b',
      'PatientName=Müller^*',
    ]);
    assert.deepEqual(dicomJson(identifier), {
      '00080005': { vr: 'CS', Value: ['ISO_IR 192'] },
      '00081030': { vr: 'LO', Value: ['a=b'] },
      '00100010': { vr: 'PN', Value: [{ Alphabetic: 'Müller^*' }] },
      '0020000D': { vr: 'UI', Value: ['1.2.3', '1.2.4'] },
    });
  });

  test('that are none are refused', () => {
    for (const key of ['PatientNumber=1', '0010=1', '', 'Rows=many', 'PixelData=x']) {
      assert.throws(() => queryIdentifier([key]), isValueFault, key);
    }
  });
});
