/**
 * WADO-RS (PS3.18 10.4): studies, series and instances as they are kept or transcoded, their metadata, frames, bulk data and pictures.
 * Whatever its size, an answer is made while it is sent. What cannot be given in a form that the caller accepts is 406; where that is
 * so of some instances of many, the others are given with 206 and a warning.
 */
import { DICOMWEB_TRANSFER_API } from '@lantern/contract';
import { defineRoute, type Route } from '@lantern/service';
import type { ImageRetrieval } from '../image-retrieval/image-retrieval.ts';
import { IMAGE_READERS } from '../roles.ts';
import { bulkData, frames, metadata, objects } from './wado-objects.ts';
import { pictures, thumbnail } from './wado-pictures.ts';

export function wadoRoutes(retrieval: ImageRetrieval): Route[] {
  const access = IMAGE_READERS;
  const api = DICOMWEB_TRANSFER_API;
  return [
    ...[api.retrieveStudy, api.retrieveSeries, api.retrieveInstance].map((operation) =>
      defineRoute(operation)({ access, handler: (asked) => objects(retrieval, asked) }),
    ),
    ...[api.retrieveStudyMetadata, api.retrieveSeriesMetadata, api.retrieveInstanceMetadata].map((operation) =>
      defineRoute(operation)({ access, handler: (asked) => metadata(retrieval, asked) }),
    ),
    defineRoute(api.retrieveFrames)({ access, handler: (asked) => frames(retrieval, asked) }),
    defineRoute(api.retrieveBulkData)({ access, handler: (asked) => bulkData(retrieval, asked) }),
    ...[api.renderStudy, api.renderSeries, api.renderInstance, api.renderFrames].map((operation) =>
      defineRoute(operation)({ access, handler: (asked) => pictures(retrieval, asked) }),
    ),
    ...[api.thumbnailOfStudy, api.thumbnailOfSeries, api.thumbnailOfInstance, api.thumbnailOfFrame].map((operation) =>
      defineRoute(operation)({ access, handler: (asked) => thumbnail(retrieval, asked) }),
    ),
  ];
}
