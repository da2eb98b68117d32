export { openFileSource } from './byte-source.ts';
export type { DataSet, Element } from './data-set.ts';
export { DicomError } from './dicom-error.ts';
export { dicomJson, type JsonDataSet, type JsonElement } from './dicom-json.ts';
export { keywordOf } from './dictionary.ts';
export type {
  Destination,
  Instance,
  Match,
  MoveRetrieval,
  QueryRequest,
  Retrieval,
  StoreRequest,
} from './network/handlers.ts';
export { decodeDataSet } from './network/incoming.ts';
export { instanceOfFile } from './network/instance-file.ts';
export { type AssociationOptions, openAssociation } from './network/open-association.ts';
export { fetchingContext, identifierContext, storingContexts } from './network/proposal.ts';
export { type DicomServer, type DicomServerOptions, startDicomServer } from './network/server.ts';
export { SOP_CLASSES, STORAGE_COMMITMENT_INSTANCE } from './network/sop-classes.ts';
export { STATUS } from './network/status.ts';
export { readPart10 } from './part10.ts';
