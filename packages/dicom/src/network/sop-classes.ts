/** SOP classes and transfer syntaxes of PS3.6 as far as an association has to tell them apart, and the services they belong to. */
import { UID_LINES } from '../generated/uids.ts';

export const SOP_CLASSES = {
  verification: '1.2.840.10008.1.1',
  storageCommitmentPush: '1.2.840.10008.1.20.1',
  patientRootFind: '1.2.840.10008.5.1.4.1.2.1.1',
  patientRootMove: '1.2.840.10008.5.1.4.1.2.1.2',
  patientRootGet: '1.2.840.10008.5.1.4.1.2.1.3',
  studyRootFind: '1.2.840.10008.5.1.4.1.2.2.1',
  studyRootMove: '1.2.840.10008.5.1.4.1.2.2.2',
  studyRootGet: '1.2.840.10008.5.1.4.1.2.2.3',
  worklistFind: '1.2.840.10008.5.1.4.31',
} as const;

/** PS3.4 J.3.5: the well-known instance of the storage commitment service. */
export const STORAGE_COMMITMENT_INSTANCE = '1.2.840.10008.1.20.1.1';

export type Service = 'verification' | 'store' | 'find' | 'move' | 'get' | 'commitment';

const SERVICES: ReadonlyMap<string, Service> = new Map([
  [SOP_CLASSES.verification, 'verification'],
  [SOP_CLASSES.storageCommitmentPush, 'commitment'],
  [SOP_CLASSES.patientRootFind, 'find'],
  [SOP_CLASSES.studyRootFind, 'find'],
  [SOP_CLASSES.worklistFind, 'find'],
  [SOP_CLASSES.patientRootMove, 'move'],
  [SOP_CLASSES.studyRootMove, 'move'],
  [SOP_CLASSES.patientRootGet, 'get'],
  [SOP_CLASSES.studyRootGet, 'get'],
]);

/**
 * Storage SOP classes by their names in PS3.6, retired ones too: archives are full of them. The media directory is no instance
 * to be sent (PS3.10 8), nor do inventory, commitment and the classes without a name store anything.
 */
const STORAGE_KEYWORD = /Storage(ForPresentation|ForProcessing|Trial)?$/;
const NO_STORAGE: ReadonlySet<string> = new Set(['MediaStorageDirectoryStorage']);

type Registry = { readonly storage: ReadonlySet<string>; readonly transferSyntaxes: ReadonlySet<string> };

let loaded: Registry | undefined;

function registry(): Registry {
  if (loaded !== undefined) return loaded;
  const lines = UID_LINES.split('\n').map((line) => line.split('|'));
  const uidsOf = (test: (kind: string, keyword: string) => boolean) =>
    new Set(lines.flatMap(([uid = '', kind = '', keyword = '']) => (test(kind, keyword) ? [uid] : [])));
  loaded = {
    storage: uidsOf(
      (kind, keyword) => kind === 'SOP Class' && STORAGE_KEYWORD.test(keyword) && !NO_STORAGE.has(keyword),
    ),
    transferSyntaxes: uidsOf((kind) => kind === 'Transfer Syntax'),
  };
  return loaded;
}

/** `undefined` for what PS3.6 does not know, and for services that we do not offer. */
export function serviceOf(sopClass: string): Service | undefined {
  return SERVICES.get(sopClass) ?? (registry().storage.has(sopClass) ? 'store' : undefined);
}

/** Under which DICOM names its storage classes, those of editions to come among them. */
const STORAGE_ROOT = '1.2.840.10008.5.1.4.1.1.';

/** What may be stored though our PS3.6 does not know it: makers store objects of their own, and the standard adds some every year. */
export function mayBeStorage(sopClass: string): boolean {
  return !sopClass.startsWith('1.2.840.10008.') || sopClass.startsWith(STORAGE_ROOT);
}

export function isKnownTransferSyntax(uid: string): boolean {
  return registry().transferSyntaxes.has(uid);
}
