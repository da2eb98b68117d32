export { type ByteSource, memorySource, openFileSource } from './byte-source.ts';
export { conformance } from './conformance.ts';
export { type DataSet, type Element, itemsOf, numberOf, textOf, textsIn } from './data-set.ts';
export { encodeDataSet } from './data-set-writer.ts';
export { createDeidentifier, type DeidentifiedObject, type Deidentifier } from './deidentify/deidentify.ts';
export { outputFile } from './deidentify/output-file.ts';
export { type PixelDecision, yieldsToPixelDecision } from './deidentify/pixel-decision.ts';
export {
  type DeidentificationProfile,
  PROFILE_DEFAULT,
  parseDeidentificationProfile,
} from './deidentify/profile.ts';
export { createPseudonyms, type Pseudonyms } from './deidentify/pseudonyms.ts';
export type { DeidentificationReport, ReportedAction } from './deidentify/report.ts';
export { findTesseract } from './deidentify/tesseract-reader.ts';
export type { TextReader } from './deidentify/text-reader.ts';
export { DicomError, type DicomErrorCode } from './dicom-error.ts';
export { dicomJson, type JsonDataSet, type JsonElement, metadataJson } from './dicom-json.ts';
export { dataSetOfJson } from './dicom-json-reader.ts';
export { keywordOf, tagOfKeyword } from './dictionary.ts';
export {
  bytesElement,
  dataSetOf,
  numberElement,
  sequenceElement,
  textElement,
  withElements,
} from './element-values.ts';
export { metadataXml } from './native-xml.ts';
export type { DimseClient, RetrieveResult } from './network/client.ts';
export { fetchingContexts } from './network/fetching.ts';
export type {
  ActionRequest,
  Destination,
  DimseHandlers,
  EventReport,
  Instance,
  Match,
  MoveRequest,
  MoveRetrieval,
  Peer,
  QueryRequest,
  Retrieval,
  StoreRequest,
} from './network/handlers.ts';
export { encodeIdentifier, identifierOf } from './network/identifier.ts';
export { instanceOfFile } from './network/instance-file.ts';
export { type AssociationOptions, openAssociation } from './network/open-association.ts';
export { fetchingContext, identifierContext, storingContexts, storingGroups } from './network/proposal.ts';
export { keyPath, queryIdentifier } from './network/query-keys.ts';
export { type Admission, type DicomServer, type DicomServerOptions, startDicomServer } from './network/server.ts';
export type { Outcome as DimseOutcome } from './network/session.ts';
export { SOP_CLASSES, STORAGE_COMMITMENT_INSTANCE } from './network/sop-classes.ts';
export { STATUS, statusKind } from './network/status.ts';
export {
  type FoundInstance,
  type FoundStudy,
  findStudies,
  isSingleKey,
  listInstances,
  type StudyKey,
} from './network/study-queries.ts';
export { isUid } from './network/uid.ts';
export { queryWorklist } from './network/worklist.ts';
export type { Algorithm } from './objects/algorithm.ts';
export type { CodedConcept } from './objects/coded-concept.ts';
export { type ContributingEquipment, type Derivation, type Equipment, part10Of } from './objects/derived-object.ts';
export { type EncapsulatedPdf, encapsulatedPdfOf } from './objects/encapsulated-pdf.ts';
export { type InstanceReference, referencedSeries, referenceTo } from './objects/instance-reference.ts';
export {
  type ContentItem,
  type ContentValue,
  container,
  contentItem,
  type Relation,
} from './objects/report/content-item.ts';
export { contentTreeOf } from './objects/report/content-tree.ts';
export {
  type ImageReference,
  type MeasuredRegion,
  type Measurement,
  type MeasurementGroup,
  type MeasurementReport,
  measurementReportOf,
} from './objects/report/measurement-report.ts';
export {
  type ReadMeasurementGroup,
  type ReadMeasurementReport,
  type ReadRegion,
  readMeasurementReport,
} from './objects/report/measurement-report-reader.ts';
export { type StructuredReport, structuredReportOf } from './objects/report/structured-report.ts';
export { type CapturedPixels, type SecondaryCapture, secondaryCaptureOf } from './objects/secondary-capture.ts';
export type { ReadSegment, Segment } from './objects/segmentation/segment.ts';
export { filledVoxelsOf, voxelVolumeOf } from './objects/segmentation/segment-volume.ts';
export type { SegmentVoxels } from './objects/segmentation/segment-voxels.ts';
export { type Segmentation, segmentationOf } from './objects/segmentation/segmentation.ts';
export {
  type ReadSegmentation,
  readSegmentation,
  type SegmentVolume,
  segmentOnto,
  segmentVolumeOf,
} from './objects/segmentation/segmentation-reader.ts';
export { randomUid } from './objects/uuid-uid.ts';
export { type Part10File, readHead, readPart10 } from './part10.ts';
export { type IncomingFile, readIncomingFile } from './part10-stream.ts';
export { metaFor, writeDataSet, writePart10 } from './part10-writer.ts';
export type { Window } from './pixel/grayscale.ts';
export { jpegOf, pngOf } from './pixel/image-formats.ts';
export { openPixels } from './pixel/pixels.ts';
export { type RenderedImage, render } from './pixel/render.ts';
export { canTranscode, transcoded } from './pixel/transcode.ts';
export { fitted } from './pixel/viewport.ts';
export { transferSyntaxOf } from './transfer-syntax.ts';
export { niftiGzOf } from './volume/nifti.ts';
export { type Projection, projectionOf } from './volume/projection.ts';
export { type Plane, planeOf, sliceThicknessOf } from './volume/slice-geometry.ts';
export { type Volume, type VolumeLayout, type VolumeResult, volumeLayoutOf, volumeOf } from './volume/volume.ts';
export { bulkDataAt, framesIn } from './web/bulk-data.ts';
export { type MediaType, parseAccept, parseMediaType } from './web/media-type.ts';
export { readMultipart, type WrittenPart, writeMultipart } from './web/multipart.ts';
