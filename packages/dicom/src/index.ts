export { openFileSource } from './byte-source.ts';
export type { DataSet, Element } from './data-set.ts';
export { DicomError } from './dicom-error.ts';
export { dicomJson, type JsonDataSet, type JsonElement } from './dicom-json.ts';
export { keywordOf } from './dictionary.ts';
export { readPart10 } from './part10.ts';
