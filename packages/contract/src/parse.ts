/** Turns `unknown` into a typed value, or says which field broke which rule. Never quotes the value. */
import type { Static, TSchema } from 'typebox';
import { Compile, type Validator } from 'typebox/compile';
import { Settings } from 'typebox/system';
import { AppError, type ErrorCode } from './errors.ts';

const ERROR_COUNT_MAX = 100; // enough to reach the meant alternative of our longest union; bounds the work for bad input
const compiled = new WeakMap<object, Validator>();

function validatorOf(schema: TSchema): Validator {
  let validator = compiled.get(schema);
  if (validator === undefined) {
    Settings.Set({ maxErrors: ERROR_COUNT_MAX });
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
  const { field, rule } = firstBroken(validator.Errors(value));
  throw new AppError(options.code ?? 'input.invalid', `${options.what}: field ${field} ${rule}.`, { field });
}

type Errors = ReturnType<Validator['Errors']>;

/** Of a union told apart by `kind`, only the alternative whose kind was given is meant; what the others miss is no news. */
function firstBroken(errors: Errors): { field: string; rule: string } {
  const kinds = errors.flatMap((error) => {
    const branch = /^(.*\/anyOf\/\d+)\/properties\/kind$/.exec(error.schemaPath)?.[1];
    return error.keyword === 'const' && branch !== undefined ? [{ branch, field: error.instancePath, error }] : [];
  });
  const meant = errors.filter(
    ({ schemaPath }) => !kinds.some(({ branch }) => `${schemaPath}/`.startsWith(`${branch}/`)),
  );
  const [first] = meant.length === 0 ? errors : meant;
  const path = first?.instancePath ?? '';
  const allowed = kinds.flatMap(({ field, error }) =>
    first?.keyword === 'anyOf' && field === `${path}/kind` && error.keyword === 'const'
      ? [error.params.allowedValue]
      : [],
  );
  if (allowed.length > 0) return { field: `${path}/kind`, rule: `must be one of: ${allowed.join(', ')}` };
  const rule = first?.message === 'schema is false' ? 'is not a known field' : (first?.message ?? 'is wrong');
  return { field: path === '' ? '(whole)' : path, rule };
}

export function matches<S extends TSchema>(schema: S, value: unknown): value is Static<S> {
  return validatorOf(schema).Check(value);
}
