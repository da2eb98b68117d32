/** What `--describe` asks for, as a person writes it: "sex,age:10,year,top-conditions:10,measurement:3004410/8554/6.5/7.5,crossing:sex+age". */
import { AppError, type Characteristic, CharacteristicSchema, parse } from '@lantern/contract';

const AGE_BAND_YEARS = 10;
const TOP_COUNT = 10;

/** Throws `input.invalid` naming the part that is not understood. */
export function describeOption(text: string): Characteristic[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => parse(CharacteristicSchema, written(part), { what: `--describe ${part}` }));
}

function written(part: string): unknown {
  const [kind = '', value] = part.split(':', 2);
  switch (kind) {
    case 'sex':
    case 'year':
    case 'modality':
      if (value !== undefined) throw unknown(part);
      return { kind };
    case 'age':
      return { kind, bandYears: value === undefined ? AGE_BAND_YEARS : Number(value) };
    case 'top-conditions':
    case 'top-drugs':
      return { kind, limit: value === undefined ? TOP_COUNT : Number(value) };
    case 'measurement': {
      const [conceptId, unitConceptId, ...bounds] = (value ?? '').split('/');
      return { kind, conceptId, unitConceptId, bounds: bounds.map(Number) };
    }
    case 'crossing':
      return { kind, of: (value ?? '').split('+') };
    default:
      throw unknown(part);
  }
}

function unknown(part: string): AppError {
  const known =
    'sex, age:5|10|20, year, top-conditions:N, top-drugs:N, modality, measurement:CONCEPT/UNIT/BOUND/BOUND…, crossing:A+B (of sex, age, year)';
  return new AppError('input.invalid', `--describe: "${part}" is not known; it may be ${known}.`, {
    field: 'describe',
  });
}
