import { InvalidArgumentError } from 'commander';

/** A number typed as an option; anything else is refused before it is sent. */
export function numberOption(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value)) return value;
  throw new InvalidArgumentError('It is not a number.');
}

/** A number typed in the place of a setting: NaN where it is none, so that the schema of the settings refuses it by name. */
export function settingNumber(text: string): number {
  return text.trim() === '' ? Number.NaN : Number(text);
}
