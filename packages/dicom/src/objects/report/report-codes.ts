/** Concepts by which measurement reports name their parts (PS3.16 TID 1500 and what it includes). */
import type { CodedConcept } from '../coded-concept.ts';

const dcm = (value: string, meaning: string): CodedConcept => ({ value, scheme: 'DCM', meaning });
const sct = (value: string, meaning: string): CodedConcept => ({ value, scheme: 'SCT', meaning });

export const REPORT_CODES = {
  imagingMeasurementReport: dcm('126000', 'Imaging Measurement Report'),
  language: dcm('121049', 'Language of Content Item and Descendants'),
  observerType: dcm('121005', 'Observer Type'),
  device: dcm('121007', 'Device'),
  deviceUid: dcm('121012', 'Device Observer UID'),
  deviceName: dcm('121013', 'Device Observer Name'),
  deviceManufacturer: dcm('121014', 'Device Observer Manufacturer'),
  deviceModelName: dcm('121015', 'Device Observer Model Name'),
  deviceSerialNumber: dcm('121016', 'Device Observer Serial Number'),
  procedureReported: dcm('121058', 'Procedure reported'),
  imageLibrary: dcm('111028', 'Image Library'),
  imageLibraryGroup: dcm('126200', 'Image Library Group'),
  modality: dcm('121139', 'Modality'),
  studyDate: dcm('111060', 'Study Date'),
  studyTime: dcm('111061', 'Study Time'),
  frameOfReferenceUid: dcm('112227', 'Frame of Reference UID'),
  pixelDataRows: dcm('110910', 'Pixel Data Rows'),
  pixelDataColumns: dcm('110911', 'Pixel Data Columns'),
  imagingMeasurements: dcm('126010', 'Imaging Measurements'),
  measurementGroup: dcm('125007', 'Measurement Group'),
  trackingIdentifier: dcm('112039', 'Tracking Identifier'),
  trackingUid: dcm('112040', 'Tracking Unique Identifier'),
  findingCategory: sct('276214006', 'Finding category'),
  finding: dcm('121071', 'Finding'),
  findingSite: sct('363698007', 'Finding Site'),
  laterality: sct('272741003', 'Laterality'),
  method: sct('370129005', 'Measurement Method'),
  derivation: dcm('121401', 'Derivation'),
  algorithmName: dcm('111001', 'Algorithm Name'),
  algorithmParameters: dcm('111002', 'Algorithm Parameters'),
  algorithmVersion: dcm('111003', 'Algorithm Version'),
  imageRegion: dcm('111030', 'Image Region'),
  source: sct('260753009', 'Source'),
  sourceOfMeasurement: dcm('121112', 'Source of Measurement'),
  referencedSegment: dcm('121191', 'Referenced Segment'),
  referencedSegmentationFrame: dcm('121214', 'Referenced Segmentation Frame'),
  sourceImageForSegmentation: dcm('121233', 'Source image for segmentation'),
  sourceSeriesForSegmentation: dcm('121232', 'Source series for segmentation'),
} as const satisfies Record<string, CodedConcept>;

/** CID 29, the kinds of images that are measured; others go without. */
export const MODALITIES: Readonly<Record<string, CodedConcept>> = {
  CR: dcm('CR', 'Computed Radiography'),
  CT: dcm('CT', 'Computed Tomography'),
  DX: dcm('DX', 'Digital Radiography'),
  MG: dcm('MG', 'Mammography'),
  MR: dcm('MR', 'Magnetic Resonance'),
  NM: dcm('NM', 'Nuclear Medicine'),
  PT: dcm('PT', 'Positron emission tomography'),
  RF: dcm('RF', 'Radiofluoroscopy'),
  US: dcm('US', 'Ultrasound'),
  XA: dcm('XA', 'X-Ray Angiography'),
};
