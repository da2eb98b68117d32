import { AppError, type Id, type IdKind, isId } from '@lantern/contract';

/** An id typed on the command line, or a clear refusal. */
export function idArgument<K extends IdKind>(kind: K, value: string | undefined): Id<K> {
  if (isId(kind, value)) return value;
  throw new AppError('input.invalid', `"${value ?? ''}" is not a ${kind}.`);
}
