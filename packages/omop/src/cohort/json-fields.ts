/** Reads an object of a definition field by field. What nobody asked for by the end is refused by name: never ignored. */
import { AppError } from '@lantern/contract';

export type Json = Readonly<Record<string, unknown>>;

/** `path`: where in the definition, as "InclusionRules[2].expression". */
export function refuse(path: string, rule: string): AppError {
  return new AppError('input.invalid', `${path === '' ? 'The definition' : path}: ${rule}`, { field: path });
}

export class JsonFields {
  readonly path: string;
  readonly #fields: Json;
  readonly #left: Set<string>;

  constructor(value: unknown, path: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw refuse(path, 'must be an object.');
    this.path = path;
    this.#fields = value as Json; // checked in the line above
    this.#left = new Set(Object.keys(value));
  }

  pathOf(name: string): string {
    return this.path === '' ? name : `${this.path}.${name}`;
  }

  /** Undefined where it is missing or null. */
  take(name: string): unknown {
    this.#left.delete(name);
    return this.#fields[name] ?? undefined;
  }

  has(name: string): boolean {
    return this.#fields[name] !== undefined && this.#fields[name] !== null;
  }

  /** Fields that say nothing about who is in the cohort. */
  pass(...names: readonly string[]): void {
    for (const name of names) this.#left.delete(name);
  }

  object(name: string): JsonFields | undefined {
    const value = this.take(name);
    return value === undefined ? undefined : new JsonFields(value, this.pathOf(name));
  }

  required(name: string): JsonFields {
    const found = this.object(name);
    if (found === undefined) throw refuse(this.pathOf(name), 'is missing.');
    return found;
  }

  /** Empty where it is missing. */
  list<T>(name: string, read: (value: unknown, path: string) => T): T[] {
    const value = this.take(name) ?? [];
    if (!Array.isArray(value)) throw refuse(this.pathOf(name), 'must be a list.');
    return value.map((one: unknown, index) => read(one, `${this.pathOf(name)}[${index}]`));
  }

  text(name: string): string | undefined {
    const value = this.take(name);
    if (value === undefined || typeof value === 'string') return value;
    throw refuse(this.pathOf(name), 'must be a text.');
  }

  flag(name: string): boolean {
    const value = this.take(name) ?? false;
    if (typeof value === 'boolean') return value;
    throw refuse(this.pathOf(name), 'must be true or false.');
  }

  number(name: string): number | undefined {
    const value = this.take(name);
    if (value === undefined || (typeof value === 'number' && Number.isFinite(value))) return value;
    throw refuse(this.pathOf(name), 'must be a number.');
  }

  /** A whole number of 32 bits, as Circe's are. */
  integer(name: string): number | undefined {
    const value = this.take(name);
    const number = typeof value === 'string' && /^-?\d{1,10}$/.test(value) ? Number(value) : value; // ATLAS writes both
    if (number === undefined) return undefined;
    if (typeof number === 'number' && Number.isInteger(number) && Math.abs(number) < 2 ** 31) return number;
    throw refuse(this.pathOf(name), 'must be a whole number below 2^31.');
  }

  oneOf<T extends string>(name: string, values: Readonly<Record<string, T>>, otherwise?: T): T {
    const text = this.text(name);
    const value = text === undefined ? otherwise : values[text.toUpperCase()];
    if (value !== undefined) return value;
    const rule = text === undefined ? 'is missing' : 'is not known here';
    throw refuse(this.pathOf(name), `${rule}; it may be ${Object.keys(values).join(', ')}.`);
  }

  /** Refuses what was not asked for. */
  end(): void {
    for (const name of this.#left) {
      if (this.has(name)) throw refuse(this.pathOf(name), 'is not known here.');
    }
  }
}
