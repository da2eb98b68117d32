/** Turns `unknown` into a typed value, or says which field broke which rule. Never quotes the value. */
import type { Static, TSchema } from 'typebox';
import { Compile, type Validator } from 'typebox/compile';
import { AppError, type ErrorCode } from './errors.ts';

const compiled = new WeakMap<object, Validator>();

function validatorOf(schema: TSchema): Validator {
  let validator = compiled.get(schema);
  if (validator === undefined) {
    validator = Compile(schema);
    compiled.set(schema, validator);
  }
  return validator;
}

/** Parses `value` by `schema`; throws `AppError(code)` naming the first broken field and rule. `what` names the message. */
export function parse<S extends TSchema>(
  schema: S,
  value: unknown,
  options: { what: string; code?: ErrorCode },
): Static<S> {
  const validator = validatorOf(schema);
  if (validator.Check(value)) return value as Static<S>;
  const [first] = validator.Errors(value);
  const field = first?.instancePath === undefined || first.instancePath === '' ? '(whole)' : first.instancePath;
  const rule = first?.message === 'schema is false' ? 'is not a known field' : (first?.message ?? 'is wrong');
  throw new AppError(options.code ?? 'input.invalid', `${options.what}: field ${field} ${rule}.`, { field });
}

export function matches<S extends TSchema>(schema: S, value: unknown): value is Static<S> {
  return validatorOf(schema).Check(value);
}
