/**
 * Quantities in comparable form: a value in a unit of UCUM becomes a number in base units, so that 80 mg/dL and 0.8 g/L are found by
 * the same search.
 *
 * A part of UCUM: prefixes, products, quotients, powers, annotations, and the atoms below. A unit that is not read, and every unit of
 * another system, stands for itself. Temperatures in Celsius and Fahrenheit are converted where they stand alone.
 */

export type CanonicalQuantity = { readonly value: number; readonly unit: string };

/** Exponents of base units by their symbols, and the factor before them. */
type Measure = { readonly factor: number; readonly powers: Readonly<Record<string, number>> };

const PREFIXES: Readonly<Record<string, number>> = {
  Y: 1e24,
  Z: 1e21,
  E: 1e18,
  P: 1e15,
  T: 1e12,
  G: 1e9,
  M: 1e6,
  k: 1e3,
  h: 1e2,
  da: 1e1,
  d: 1e-1,
  c: 1e-2,
  m: 1e-3,
  u: 1e-6,
  n: 1e-9,
  p: 1e-12,
  f: 1e-15,
  a: 1e-18,
};

const base = (symbol: string, factor = 1): Measure => ({ factor, powers: { [symbol]: 1 } });
const per = (factor: number, powers: Measure['powers']): Measure => ({ factor, powers });

/** Units that take prefixes. The mole is a base unit here, as nobody measures in numbers of particles. */
const METRIC: Readonly<Record<string, Measure>> = {
  m: base('m'),
  s: base('s'),
  g: base('g'),
  K: base('K'),
  C: base('C'),
  cd: base('cd'),
  mol: base('mol'),
  rad: base('rad'),
  L: per(1e-3, { m: 3 }),
  l: per(1e-3, { m: 3 }),
  t: base('g', 1e6),
  eq: base('mol'),
  osm: base('mol'),
  kat: per(1, { mol: 1, s: -1 }),
  U: per(1e-6 / 60, { mol: 1, s: -1 }),
  Hz: per(1, { s: -1 }),
  N: per(1e3, { g: 1, m: 1, s: -2 }),
  Pa: per(1e3, { g: 1, m: -1, s: -2 }),
  bar: per(1e8, { g: 1, m: -1, s: -2 }),
  J: per(1e3, { g: 1, m: 2, s: -2 }),
  W: per(1e3, { g: 1, m: 2, s: -3 }),
  V: per(1e3, { g: 1, m: 2, s: -2, C: -1 }),
  A: per(1, { C: 1, s: -1 }),
  cal: per(4184, { g: 1, m: 2, s: -2 }),
  Gy: per(1, { m: 2, s: -2 }),
  Sv: per(1, { m: 2, s: -2 }),
  Bq: per(1, { s: -1 }),
  'm[Hg]': per(1.33322e8, { g: 1, m: -1, s: -2 }),
  'm[H2O]': per(9.80665e6, { g: 1, m: -1, s: -2 }),
  '[iU]': base('[iU]'),
  '[IU]': base('[iU]'),
};

const SIMPLE: Readonly<Record<string, Measure>> = {
  min: base('s', 60),
  h: base('s', 3600),
  d: base('s', 86_400),
  wk: base('s', 604_800),
  mo: base('s', 2_629_800),
  a: base('s', 31_557_600),
  '%': per(0.01, {}),
  '[ppm]': per(1e-6, {}),
  '[ppb]': per(1e-9, {}),
  '[pH]': base('[pH]'),
  '[in_i]': base('m', 0.0254),
  '[ft_i]': base('m', 0.3048),
  '[lb_av]': base('g', 453.59237),
  '[oz_av]': base('g', 28.349523125),
  '10*': per(10, {}),
  '10^': per(10, {}),
  '[drp]': base('[drp]'),
  deg: base('rad', Math.PI / 180),
};

const LENGTH_MAX = 100; // the longest unit of UCUM's own examples is a third of it
const POWER = /([+-]?\d+)$/;
const measures = new Map<string, Measure | undefined>();
/** Units that a sender makes up are not remembered for ever. */
const REMEMBERED_MAX = 2000;

/** `undefined`: the unit is not read here. */
export function canonicalQuantity(value: number, unit: string): CanonicalQuantity | undefined {
  if (unit === 'Cel') return { value: value + 273.15, unit: 'K' };
  if (unit === '[degF]') return { value: ((value + 459.67) * 5) / 9, unit: 'K' };
  const measure = measureOf(unit);
  if (measure === undefined) return undefined;
  const names = Object.entries(measure.powers).filter(([, power]) => power !== 0);
  const canonical = names.map(([name, power]) => `${name}${power === 1 ? '' : power}`).sort();
  return { value: value * measure.factor, unit: canonical.length === 0 ? '1' : canonical.join('.') };
}

function measureOf(unit: string): Measure | undefined {
  if (measures.has(unit)) return measures.get(unit);
  const measure = unit.length > LENGTH_MAX ? undefined : parsed(unit);
  if (measures.size < REMEMBERED_MAX) measures.set(unit, measure);
  return measure;
}

function parsed(unit: string): Measure | undefined {
  let result: Measure = { factor: 1, powers: {} };
  let sign = 1;
  for (const part of unit.replaceAll(/\{[^{}]*\}/g, '').split(/([./])(?![^[]*\])/)) {
    if (part === '/' || part === '.') sign = part === '/' ? -1 : 1;
    else if (part !== '') {
      const component = componentOf(part);
      if (component === undefined) return undefined;
      result = product(result, component, sign);
    }
  }
  return Number.isFinite(result.factor) && result.factor > 0 ? result : undefined;
}

function componentOf(text: string): Measure | undefined {
  if (/^\d+$/.test(text)) return { factor: Number(text), powers: {} };
  const found = POWER.exec(text);
  const exponent = found === null ? 1 : Number(found[1]);
  const symbol = found === null ? text : text.slice(0, -found[0].length);
  const atom = atomOf(symbol);
  return atom === undefined || Math.abs(exponent) > 30 ? undefined : product({ factor: 1, powers: {} }, atom, exponent);
}

function atomOf(symbol: string): Measure | undefined {
  const known = own(SIMPLE, symbol) ?? own(METRIC, symbol);
  if (known !== undefined) return known;
  for (const length of [2, 1]) {
    const [prefix, atom] = [own(PREFIXES, symbol.slice(0, length)), own(METRIC, symbol.slice(length))];
    if (prefix !== undefined && atom !== undefined) return { factor: prefix * atom.factor, powers: atom.powers };
  }
  return undefined;
}

function own<T>(table: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}

function product(left: Measure, right: Measure, exponent: number): Measure {
  const powers: Record<string, number> = { ...left.powers };
  for (const [name, power] of Object.entries(right.powers)) powers[name] = (powers[name] ?? 0) + power * exponent;
  return { factor: left.factor * right.factor ** exponent, powers };
}
