/**
 * WADO-RS and STOW-RS, by which DICOMweb gives and takes images (PS3.18 10.4, 10.5): the paths are the standard's. What goes in and out
 * are DICOM objects, bytes and pictures, so none of it has a schema here.
 */
import { Type } from 'typebox';
import { endpoint } from './endpoint.ts';

const UidSchema = Type.String({ minLength: 1, maxLength: 64, pattern: '^[0-9.]+$' });
const study = { study: UidSchema };
const series = { ...study, series: UidSchema };
const instance = { ...series, instance: UidSchema };
const frames = {
  ...instance,
  frames: Type.String({
    pattern: '^[1-9][0-9]{0,6}(,[1-9][0-9]{0,6})*$',
    description: 'numbers of frames from 1, separated by commas',
  }),
};
const STUDY_PARAMS = Type.Object(study);
const SERIES_PARAMS = Type.Object(series);
const INSTANCE_PARAMS = Type.Object(instance);
const FRAMES_PARAMS = Type.Object(frames);

/** Of a site: where its studies are. */
export const DICOMWEB_STUDIES_PATH = '/dicom-web/studies';
const STUDIES = DICOMWEB_STUDIES_PATH;
const STUDY = `${STUDIES}/:study` as const;
const SERIES = `${STUDY}/series/:series` as const;
const INSTANCE = `${SERIES}/instances/:instance` as const;
const FRAMES = `${INSTANCE}/frames/:frames` as const;

const MULTIPART = 'multipart/related';
const DICOM = 'application/dicom';
const DICOM_JSON = 'application/dicom+json';
const OCTETS = 'application/octet-stream';
const JPEG = 'image/jpeg';
const PNG = 'image/png';

/** PS3.18 8.3.3.1. */
const accept = Type.Optional(
  Type.String({ maxLength: 1000, description: 'media types, before those of the Accept header' }),
);
const RETRIEVED = {
  method: 'GET',
  query: Type.Object({ accept }, { additionalProperties: false }),
} as const;

const objects = { ...RETRIEVED, responseTypes: [MULTIPART, DICOM] } as const;
const metadata = { ...RETRIEVED, responseTypes: [DICOM_JSON, MULTIPART] } as const;

/** PS3.18 8.3.5.1. */
const viewport = Type.Optional(
  Type.String({ maxLength: 100, description: 'columns,rows and, where only a part is to be seen, sx,sy,sw,sh' }),
);
const rendered = {
  method: 'GET',
  query: Type.Object(
    {
      accept,
      viewport,
      window: Type.Optional(
        Type.String({ maxLength: 100, description: 'center,width,function; of linear, linear-exact and sigmoid' }),
      ),
      quality: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, description: 'of JPEG' })),
    },
    { additionalProperties: false },
  ),
  responseTypes: [JPEG, PNG, MULTIPART],
} as const;
const thumbnail = {
  method: 'GET',
  query: Type.Object({ accept, viewport }, { additionalProperties: false }),
  responseTypes: [JPEG, PNG],
} as const;

const stored = { method: 'POST', requestTypes: [MULTIPART, DICOM], responseTypes: [DICOM_JSON] } as const;

export const DICOMWEB_TRANSFER_API = {
  retrieveStudy: endpoint({ ...objects, path: STUDY, params: STUDY_PARAMS, summary: 'WADO-RS: a study' }),
  retrieveSeries: endpoint({ ...objects, path: SERIES, params: SERIES_PARAMS, summary: 'WADO-RS: a series' }),
  retrieveInstance: endpoint({ ...objects, path: INSTANCE, params: INSTANCE_PARAMS, summary: 'WADO-RS: an instance' }),
  retrieveStudyMetadata: endpoint({
    ...metadata,
    path: `${STUDY}/metadata`,
    params: STUDY_PARAMS,
    summary: 'WADO-RS: metadata of a study',
  }),
  retrieveSeriesMetadata: endpoint({
    ...metadata,
    path: `${SERIES}/metadata`,
    params: SERIES_PARAMS,
    summary: 'WADO-RS: metadata of a series',
  }),
  retrieveInstanceMetadata: endpoint({
    ...metadata,
    path: `${INSTANCE}/metadata`,
    params: INSTANCE_PARAMS,
    summary: 'WADO-RS: metadata of an instance',
  }),
  retrieveFrames: endpoint({
    ...RETRIEVED,
    path: FRAMES,
    params: FRAMES_PARAMS,
    summary: 'WADO-RS: frames of an image, uncompressed or compressed',
    responseTypes: [MULTIPART, OCTETS],
  }),
  retrieveBulkData: endpoint({
    ...RETRIEVED,
    path: `${INSTANCE}/bulkdata/:element`,
    params: Type.Object({
      ...instance,
      element: Type.String({ description: 'tag, or tag, number of the item and tag within sequences, joined by dots' }),
    }),
    summary: 'WADO-RS: a large value, as metadata name it',
    responseTypes: [MULTIPART, OCTETS],
  }),
  renderStudy: endpoint({
    ...rendered,
    path: `${STUDY}/rendered`,
    params: STUDY_PARAMS,
    summary: 'WADO-RS: images of a study as pictures',
  }),
  renderSeries: endpoint({
    ...rendered,
    path: `${SERIES}/rendered`,
    params: SERIES_PARAMS,
    summary: 'WADO-RS: images of a series as pictures',
  }),
  renderInstance: endpoint({
    ...rendered,
    path: `${INSTANCE}/rendered`,
    params: INSTANCE_PARAMS,
    summary: 'WADO-RS: an image as a picture, of several frames the first',
  }),
  renderFrames: endpoint({
    ...rendered,
    path: `${FRAMES}/rendered`,
    params: FRAMES_PARAMS,
    summary: 'WADO-RS: frames as pictures',
  }),
  thumbnailOfStudy: endpoint({
    ...thumbnail,
    path: `${STUDY}/thumbnail`,
    params: STUDY_PARAMS,
    summary: 'WADO-RS: a small picture that stands for a study',
  }),
  thumbnailOfSeries: endpoint({
    ...thumbnail,
    path: `${SERIES}/thumbnail`,
    params: SERIES_PARAMS,
    summary: 'WADO-RS: a small picture that stands for a series',
  }),
  thumbnailOfInstance: endpoint({
    ...thumbnail,
    path: `${INSTANCE}/thumbnail`,
    params: INSTANCE_PARAMS,
    summary: 'WADO-RS: a small picture that stands for an instance',
  }),
  thumbnailOfFrame: endpoint({
    ...thumbnail,
    path: `${FRAMES}/thumbnail`,
    params: FRAMES_PARAMS,
    summary: 'WADO-RS: a small picture of a frame',
  }),
  storeInstances: endpoint({ ...stored, path: STUDIES, summary: 'STOW-RS: instances of any study' }),
  storeInstancesOfStudy: endpoint({
    ...stored,
    path: STUDY,
    params: STUDY_PARAMS,
    summary: 'STOW-RS: instances of one study',
  }),
} as const;
