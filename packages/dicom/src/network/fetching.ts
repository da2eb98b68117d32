/** What to propose for fetching by C-GET (PS3.4 C.4.3), so that every instance comes as the peer keeps it. */
import { EXPLICIT_BIG_ENDIAN, EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN } from '../transfer-syntax.ts';
import { PRESENTATION_CONTEXT_COUNT_MAX } from './limits.ts';
import { fetchingContext, identifierContext, type ProposedContext } from './proposal.ts';
import { SOP_CLASSES } from './sop-classes.ts';

/** By how much of what archives hold is coded so: what finds no room among the contexts of an association is missed least. */
const SYNTAXES = [
  EXPLICIT_LITTLE_ENDIAN,
  IMPLICIT_LITTLE_ENDIAN,
  '1.2.840.10008.1.2.4.70', // JPEG lossless, first-order prediction
  '1.2.840.10008.1.2.4.50', // JPEG baseline
  '1.2.840.10008.1.2.4.90', // JPEG 2000 lossless
  '1.2.840.10008.1.2.4.80', // JPEG-LS lossless
  '1.2.840.10008.1.2.5', // RLE
  '1.2.840.10008.1.2.4.91', // JPEG 2000
  '1.2.840.10008.1.2.4.51', // JPEG extended
  '1.2.840.10008.1.2.4.57', // JPEG lossless
  '1.2.840.10008.1.2.4.81', // JPEG-LS near-lossless
  '1.2.840.10008.1.2.4.201', // HTJ2K lossless
  '1.2.840.10008.1.2.4.202', // HTJ2K lossless RPCL
  '1.2.840.10008.1.2.4.203', // HTJ2K
  '1.2.840.10008.1.2.4.102', // MPEG-4
  '1.2.840.10008.1.2.4.103', // MPEG-4 BD
  '1.2.840.10008.1.2.4.100', // MPEG-2
  '1.2.840.10008.1.2.4.107', // HEVC
  EXPLICIT_BIG_ENDIAN,
  '1.2.840.10008.1.2.1.99', // deflated
];

/** Where a peer does not say what a study is made of: what most are made of (PS3.4 B.5). */
const COMMON_SOP_CLASSES = [
  '2', // CT
  '4', // MR
  '1', // CR
  '1.1', // DX
  '6.1', // US
  '3.1', // US multi-frame
  '7', // secondary capture
  '1.2', // mammography
  '12.1', // XA
  '12.2', // RF
  '20', // NM
  '128', // PET
  '2.1', // enhanced CT
  '4.1', // enhanced MR
  '130', // enhanced PET
  '13.1.3', // breast tomosynthesis
  '13.1.1', // 3D XA
  '88.11', // basic text SR
  '88.22', // enhanced SR
  '88.33', // comprehensive SR
  '88.34', // comprehensive 3D SR
  '88.59', // key object selection
  '88.67', // X-ray dose SR
  '11.1', // presentation state
  '66', // raw data
  '66.1', // registration
  '66.4', // segmentation
  '67', // real world value mapping
  '104.1', // encapsulated PDF
  '481.1', // RT image
  '481.2', // RT dose
  '481.3', // RT structure set
  '481.5', // RT plan
  '7.2', // secondary capture, multi-frame gray byte
  '7.3', // gray word
  '7.4', // colour
  '77.1.4', // photograph
  '77.1.6', // whole slide
  '9.1.1', // ECG
  '77.1.5.1', // ophthalmic photograph
  '77.1.5.4', // OCT
].map((end) => `1.2.840.10008.5.1.4.1.1.${end}`);

/**
 * One context for each class and syntax, in the order of the syntaxes: the peer then sends an instance in the one that it has it
 * in. `sopClasses` that are empty stand for what most studies are made of.
 */
export function fetchingContexts(sopClasses: Iterable<string>): ProposedContext[] {
  const named = new Set(sopClasses);
  const classes = named.size === 0 || named.delete('') ? [...new Set([...named, ...COMMON_SOP_CLASSES])] : [...named];
  const contexts = SYNTAXES.flatMap((syntax) => classes.map((sopClass) => fetchingContext(sopClass, [syntax])));
  return [identifierContext(SOP_CLASSES.studyRootGet), ...contexts].slice(0, PRESENTATION_CONTEXT_COUNT_MAX);
}
