/** The failures of the DICOM package in the words of the contract: the one place where they are translated. */
import { AppError, type ErrorCode } from '@lantern/contract';
import { DicomError } from '@lantern/dicom';

const CODES: Readonly<Record<DicomError['code'], ErrorCode>> = {
  truncated: 'input.invalid',
  malformed: 'input.invalid',
  unsupported: 'input.unsupported',
  value: 'input.invalid',
  object: 'input.invalid',
  limit: 'input.too-large',
  network: 'peer.unreachable',
  timeout: 'peer.unreachable',
  busy: 'peer.unreachable',
  refused: 'peer.refused',
  aborted: 'peer.unreachable',
  profile: 'config.invalid',
  reader: 'executor.failed',
};

/** Anything else comes back unchanged, to be thrown as it was. */
export function fromDicomError(caught: unknown): unknown {
  if (!(caught instanceof DicomError)) return caught;
  return new AppError(CODES[caught.code], caught.message, { cause: caught });
}
