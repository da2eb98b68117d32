/** What research copies need of the settings of a process and of its machine. */
import { findTesseract } from '@lantern/dicom';
import { OPT_OUTS_DEFAULT, type OptOutSettings } from '../opt-outs/opt-outs.ts';
import type { ResearchImagesDeps } from './research-images.ts';

export function researchSettings(settings: {
  readonly optOuts?: OptOutSettings;
}): Pick<ResearchImagesDeps, 'optOuts' | 'readText'> {
  const readText = findTesseract()?.read;
  return { optOuts: settings.optOuts ?? OPT_OUTS_DEFAULT, ...(readText === undefined ? {} : { readText }) };
}
