/** David Clunie's dciodvfy and dcentvfy (Debian: dicom3tools): what they find wrong with an object, and between those of a study. */
import { spawnSync } from 'node:child_process';

/** For the options of `test`. */
export const verifierMissing =
  spawnSync('dciodvfy', ['-h']).error === undefined ? false : 'dicom3tools is not installed';

const OUTPUT_BYTES_MAX = 2 ** 28;

/** Error -> how often; without values, UIDs and item numbers, which differ. `undefined` where the verifier cannot read the file. */
export function errorsIn(file: string): Map<string, number> | undefined {
  const { stdout, stderr } = spawnSync('dciodvfy', [file], { encoding: 'latin1', maxBuffer: OUTPUT_BYTES_MAX });
  const errors = new Map<string, number>();
  for (const line of `${stdout}${stderr}`.split('\n').filter((one) => one.startsWith('Error'))) {
    if (line.includes('read failed')) return undefined;
    const kind = line
      .replace(/<\/[^>]*>/g, '')
      .replace(/\[\d+\]/g, '')
      .replace(/= <[^>]*>/g, '')
      .replace(/(?<=UID |<)[\d.]+(?=>|$)/g, 'UID');
    errors.set(kind, (errors.get(kind) ?? 0) + 1);
  }
  return errors;
}

export function studyErrorCount(files: readonly string[]): number {
  const { stdout, stderr } = spawnSync('dcentvfy', [...files], { encoding: 'latin1', maxBuffer: OUTPUT_BYTES_MAX });
  return `${stdout}${stderr}`.split('\n').filter((line) => line.startsWith('Error')).length;
}
