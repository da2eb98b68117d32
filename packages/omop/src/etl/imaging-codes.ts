/**
 * Codes of DICOM as codes of SNOMED CT, for vocabularies that hold SNOMED and not OHDSI's vocabulary DICOM. What concept such a code
 * is, the vocabulary says; a code that it lacks is concept 0.
 */

/** BodyPartExamined -> SNOMED CT, of PS3.16 annex L, table L-1; the codes as pydicom 3.0.2 lists them for DICOM. */
export const BODY_PART_CODES: Readonly<Record<string, string>> = {
  ABDOMEN: '113345001',
  ANKLE: '70258002',
  AORTA: '15825003',
  ARM: '40983000',
  BLADDER: '89837001',
  BRAIN: '12738006',
  BREAST: '76752008',
  CHEST: '51185008',
  CSPINE: '122494005',
  EXTREMITY: '66019005',
  EYE: '81745001',
  FOOT: '56459004',
  HAND: '85562004',
  HEAD: '69536005',
  HEART: '80891009',
  HIP: '24136001',
  JAW: '661005',
  KIDNEY: '64033007',
  KNEE: '72696002',
  LEG: '30021000',
  LIVER: '10200004',
  LSPINE: '122496007',
  LUNG: '39607008',
  NECK: '45048000',
  PANCREAS: '15776009',
  PELVIS: '12921003',
  PROSTATE: '41216001',
  SHOULDER: '16982005',
  SKULL: '89546000',
  SPINE: '421060004',
  SPLEEN: '78961009',
  THIGH: '68367000',
  THYROID: '69748006',
  TSPINE: '122495006',
  UTERUS: '35039007',
  WHOLEBODY: '38266002',
  WRIST: '74670003',
};

/** Modality (PS3.3 C.7.3.1.1.1) -> the imaging procedure of SNOMED CT; a table of our own. */
export const MODALITY_PROCEDURE_CODES: Readonly<Record<string, string>> = {
  CR: '168537006',
  CT: '77477000',
  DX: '168537006',
  MG: '71651007',
  MR: '113091000',
  PT: '82918005',
  RF: '44491008',
  US: '16310003',
};

/** Stands before the designator of a coding scheme of DICOM (PS3.16 8) for which FHIR has no URI: "coding-scheme:SRT". */
export const CODING_SCHEME_PREFIX = 'coding-scheme:';
