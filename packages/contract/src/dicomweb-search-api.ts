/** QIDO-RS, the searches of DICOMweb (PS3.18 10.6): the paths are the standard's. */
import { Type } from 'typebox';
import { endpoint } from './endpoint.ts';

/** PS3.18 annex F: elements by their tags in eight hex digits. */
const DataSetSchema = Type.Record(Type.String({ pattern: '^[0-9A-F]{8}$' }), Type.Object({ vr: Type.String() }));

const UidSchema = Type.String({ minLength: 1, maxLength: 64, pattern: '^[0-9.]+$' });

/** For the document: beside these, any attribute by keyword or tag is a parameter, so the site reads the query itself. */
const QuerySchema = Type.Object({
  limit: Type.Optional(Type.Integer({ minimum: 1, description: 'matches at most' })),
  offset: Type.Optional(Type.Integer({ minimum: 0, description: 'matches to leave out before' })),
  includefield: Type.Optional(
    Type.String({ description: 'attributes to show besides, by keyword or tag, separated by commas; or `all`' }),
  ),
  fuzzymatching: Type.Optional(
    Type.Boolean({ description: 'taken, and answered with a warning: names match as written' }),
  ),
  '{attribute}': Type.Optional(
    Type.String({
      description: 'any attribute by keyword or tag: a value, wild cards, a range, a list (PS3.18 8.3.4)',
    }),
  ),
});

const search = {
  method: 'GET',
  query: QuerySchema,
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
