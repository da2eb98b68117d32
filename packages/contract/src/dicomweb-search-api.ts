/** QIDO-RS, the searches of DICOMweb (PS3.18 10.6): the paths are the standard's. */
import { Type } from 'typebox';
import { endpoint } from './endpoint.ts';

/** PS3.18 annex F: elements by their tags in eight hex digits. */
const DataSetSchema = Type.Record(Type.String({ pattern: '^[0-9A-F]{8}$' }), Type.Object({ vr: Type.String() }));

const UidSchema = Type.String({ minLength: 1, maxLength: 64, pattern: '^[0-9.]+$' });

const search = {
  method: 'GET',
  openQuery: true,
  responseTypes: ['application/dicom+json'],
  response: Type.Array(DataSetSchema),
} as const;

export const DICOMWEB_SEARCH_API = {
  searchStudies: endpoint({ ...search, path: '/dicom-web/studies', summary: 'QIDO-RS: studies' }),
  searchSeries: endpoint({ ...search, path: '/dicom-web/series', summary: 'QIDO-RS: series of all studies' }),
  searchInstances: endpoint({ ...search, path: '/dicom-web/instances', summary: 'QIDO-RS: instances of all studies' }),
  searchSeriesOfStudy: endpoint({
    ...search,
    path: '/dicom-web/studies/:study/series',
    summary: 'QIDO-RS: series of a study',
    params: Type.Object({ study: UidSchema }),
  }),
  searchInstancesOfStudy: endpoint({
    ...search,
    path: '/dicom-web/studies/:study/instances',
    summary: 'QIDO-RS: instances of a study',
    params: Type.Object({ study: UidSchema }),
  }),
  searchInstancesOfSeries: endpoint({
    ...search,
    path: '/dicom-web/studies/:study/series/:series/instances',
    summary: 'QIDO-RS: instances of a series',
    params: Type.Object({ study: UidSchema, series: UidSchema }),
  }),
} as const;
