/**
 * Path parameters and query strings are text; this turns them into what their schema asks for, without guessing.
 *
 * Only whole decimal numbers become numbers and only `true` and `false` become booleans; anything else stays text and the
 * schema then says what is wrong. A query parameter that no schema names, or that occurs twice, is refused by name.
 */
import { AppError, parse } from '@lantern/contract';
import type { Static, TSchema } from 'typebox';

function propertiesOf(schema: TSchema): Readonly<Record<string, unknown>> {
  if (!('properties' in schema) || typeof schema.properties !== 'object' || schema.properties === null) return {};
  return { ...schema.properties };
}

function typeOf(property: unknown): unknown {
  return typeof property === 'object' && property !== null && 'type' in property ? property.type : undefined;
}

function fromText(value: string, type: unknown): unknown {
  if ((type === 'integer' || type === 'number') && /^-?[0-9]{1,15}(\.[0-9]{1,15})?$/.test(value)) return Number(value);
  if (type === 'boolean' && (value === 'true' || value === 'false')) return value === 'true';
  return value;
}

/** Parses the fields of a path or query by `schema`; without a schema no field may be there. */
export function parseTextFields<S extends TSchema>(
  schema: S | undefined,
  fields: unknown,
  what: 'path' | 'query',
): Static<S> | undefined {
  const properties = schema === undefined ? {} : propertiesOf(schema);
  const typed: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(typeof fields === 'object' && fields !== null ? fields : {})) {
    if (!Object.hasOwn(properties, name)) {
      throw new AppError('input.invalid', `${what}: a parameter is not known here.`, {
        field: `/${name.slice(0, 64)}`,
      });
    }
    if (typeof value !== 'string') {
      throw new AppError('input.invalid', `${what}: field /${name} must occur once.`, { field: `/${name}` });
    }
    typed[name] = fromText(value, typeOf(properties[name]));
  }
  return schema === undefined ? undefined : parse(schema, typed, { what });
}
