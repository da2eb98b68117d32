import { AppError } from '@lantern/contract';

/** Which one of several switches was given; refuses none and more than one. */
export function exactlyOne<T extends string>(flags: Readonly<Record<T, boolean | undefined>>): T {
  const names: T[] = [];
  for (const flag in flags) if (flags[flag] === true) names.push(flag);
  const [only] = names;
  if (only !== undefined && names.length === 1) return only;
  throw new AppError(
    'input.invalid',
    `Give exactly one of: ${Object.keys(flags)
      .map((flag) => `--${flag}`)
      .join(', ')}.`,
  );
}
