import { InvalidArgumentError } from 'commander';

/** A number typed as an option; anything else is refused before it is sent. */
export function numberOption(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value)) return value;
  throw new InvalidArgumentError('It is not a number.');
}
