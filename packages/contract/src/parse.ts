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

/**
 * Parses `value` by `schema`; throws `AppError(code)` naming the first broken field and rule. `what` names the message, `at` the
 * place of `value` in it, where it is a part ("/entry/3").
 */
export function parse<S extends TSchema>(
  schema: S,
  value: unknown,
  options: { what: string; at?: string; code?: ErrorCode },
): Static<S> {
  const validator = validatorOf(schema);
  if (validator.Check(value)) return value as Static<S>;
  const { path, rule } = firstBroken(validator.Errors(value));
  const whole = `${options.at ?? ''}${path}`;
  const field = whole === '' ? '(whole)' : whole;
  throw new AppError(options.code ?? 'input.invalid', `${options.what}: field ${field} ${rule}.`, { field });
}

type Errors = ReturnType<Validator['Errors']>;
type Fault = Errors[number];
type Broken = { readonly path: string; readonly rule: string };

/** Of a union told apart by `kind`, only the alternative whose kind was given is meant; what the others miss is no news. */
function firstBroken(errors: Errors): Broken {
  const kinds = errors.flatMap((error) => {
    const branch = /^(.*\/anyOf\/\d+)\/properties\/kind$/.exec(error.schemaPath)?.[1];
    return error.keyword === 'const' && branch !== undefined ? [{ branch, field: error.instancePath, error }] : [];
  });
  const meant = errors.filter(
    ({ schemaPath }) => !kinds.some(({ branch }) => `${schemaPath}/`.startsWith(`${branch}/`)),
  );
  const [first] = meant.length === 0 ? errors : meant;
  if (first === undefined) return { path: '', rule: 'is wrong' };
  const allowed = kinds.flatMap(({ field, error }) =>
    first.keyword === 'anyOf' && field === `${first.instancePath}/kind` ? allowedBy(error) : [],
  );
  if (allowed.length > 0) return { path: `${first.instancePath}/kind`, rule: oneOf(allowed) };
  return ruleOf(first, alternativesOf(first, errors));
}

/** The faults of all alternatives of the union that `fault` is one of, where they are about the value as a whole. */
function alternativesOf(fault: Fault, errors: Errors): Errors {
  const union = /^(.*\/anyOf\/)\d+$/.exec(fault.schemaPath)?.[1];
  if (union === undefined) return [fault];
  return errors.filter(
    ({ schemaPath, instancePath }) =>
      instancePath === fault.instancePath &&
      schemaPath.startsWith(union) &&
      /^\d+$/.test(schemaPath.slice(union.length)),
  );
}

const ALLOWED_SHOWN_MAX = 20;

function ruleOf(fault: Fault, alternatives: Errors): Broken {
  const path = fault.instancePath;
  if (fault.keyword === 'required') {
    const [missing = '', ...others] = fault.params.requiredProperties;
    return {
      path: `${path}/${missing}`,
      rule: others.length === 0 ? 'is missing' : `is missing, and so are: ${others.join(', ')}`,
    };
  }
  const allowed = alternatives.flatMap(allowedBy);
  if (allowed.length > 0) return { path, rule: oneOf(allowed) };
  const types = alternatives.flatMap((error) => (error.keyword === 'type' ? [error.params.type].flat() : []));
  if (types.length > 0) return { path, rule: `must be ${types.join(' or ')}` };
  return { path, rule: fault.message === 'schema is false' ? 'is not a known field' : (fault.message ?? 'is wrong') };
}

/** What a constant or an enumeration allows, from the schema and never from the value. */
function allowedBy(error: Fault): unknown[] {
  if (error.keyword === 'const') return [error.params.allowedValue];
  return error.keyword === 'enum' ? [...error.params.allowedValues] : [];
}

function oneOf(allowed: readonly unknown[]): string {
  if (allowed.length === 1) return `must be ${String(allowed[0])}`;
  const more = allowed.length > ALLOWED_SHOWN_MAX ? ', …' : '';
  return `must be one of: ${allowed.slice(0, ALLOWED_SHOWN_MAX).map(String).join(', ')}${more}`;
}

export function matches<S extends TSchema>(schema: S, value: unknown): value is Static<S> {
  return validatorOf(schema).Check(value);
}
