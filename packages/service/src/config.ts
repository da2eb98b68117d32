/**
 * Settings: one schema per process, from a JSON file, then the environment, then the command line; each wins over the former.
 * Read once, in `main`. An unknown key is refused wherever it stands: a misspelt setting that is silently ignored is how a
 * threshold stays at its default.
 *
 * `LANTERN_HUB_HTTP_PORT` is `httpPort` with the prefix `LANTERN_HUB_`.
 */
import { AppError, parse } from '@lantern/contract';
import type { Static, TObject, TSchema } from 'typebox';
import { Default } from 'typebox/value';

export type ConfigSources<S extends TObject> = {
  readonly schema: S;
  readonly fileText?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly prefix: string;
  readonly overrides?: Readonly<Record<string, unknown>>;
};

/** Reads the settings; throws `config.invalid` naming the key and the rule, never the value. */
export function loadConfig<S extends TObject>(sources: ConfigSources<S>): Static<S> {
  const given = { ...fromFile(sources.fileText), ...fromEnvironment(sources), ...sources.overrides };
  return parse(sources.schema, Default(sources.schema, given), { what: 'Settings', code: 'config.invalid' });
}

/** The settings as they may be printed at start: secrets are replaced. */
export function redactConfig(
  config: Readonly<Record<string, unknown>>,
  secretKeys: readonly string[],
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(config).map(([key, value]) => [key, secretKeys.includes(key) ? '(secret)' : value]),
  );
}

function fromFile(text: string | undefined): Record<string, unknown> {
  if (text === undefined) return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's message quotes the file, which may hold a password.
    throw new AppError('config.invalid', 'The settings file is not JSON.');
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  throw new AppError('config.invalid', 'The settings file must hold one JSON object.');
}

function fromEnvironment<S extends TObject>({ schema, env, prefix }: ConfigSources<S>): Record<string, unknown> {
  const keys = new Map(Object.keys(schema.properties).map((key) => [environmentName(prefix, key), key]));
  const settings: Record<string, unknown> = {};
  for (const [name, text] of Object.entries(env)) {
    if (text === undefined || !name.startsWith(prefix)) continue;
    const key = keys.get(name);
    if (key === undefined) {
      throw new AppError('config.invalid', `No setting is called ${name}; known: ${[...keys.keys()].join(', ')}.`, {
        field: name,
      });
    }
    settings[key] = fromText(schema.properties[key], { name, text });
  }
  return settings;
}

function environmentName(prefix: string, key: string): string {
  return prefix + key.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}

/** The environment holds text; numbers and booleans are read as such, everything else stays text. */
function fromText(schema: TSchema | undefined, { name, text }: { name: string; text: string }): unknown {
  const type = schema !== undefined && 'type' in schema ? schema.type : undefined;
  if (type === 'integer' || type === 'number') {
    const value = Number(text);
    if (text.trim() === '' || !Number.isFinite(value)) {
      throw new AppError('config.invalid', `${name} must be a number.`, { field: name });
    }
    return value;
  }
  if (type === 'boolean') {
    if (text === 'true' || text === 'false') return text === 'true';
    throw new AppError('config.invalid', `${name} must be true or false.`, { field: name });
  }
  return text;
}
