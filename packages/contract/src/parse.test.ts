import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Type } from 'typebox';
import { DatasetSchemaSchema } from './dataset.ts';
import { AppError } from './errors.ts';
import { FilterSchema } from './filter.ts';
import { parse } from './parse.ts';
import { ProjectSpecSchema } from './project.ts';

const refusal = (schema: Parameters<typeof parse>[0], value: unknown): AppError => {
  try {
    parse(schema, value, { what: 'thing' });
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
  return assert.fail('was accepted');
};

describe('parse', () => {
  const schema = Type.Object({ age: Type.Integer({ minimum: 0 }) }, { additionalProperties: false });

  it('names the field and the rule, never the value', () => {
    const error = refusal(schema, { age: -987654 });
    assert.equal(error.code, 'input.invalid');
    assert.equal(error.field, '/age');
    assert.match(error.message, /field \/age must be >= 0/);
    assert.ok(!error.message.includes('987654'));
  });

  it('refuses a field it does not know', () => {
    assert.match(refusal(schema, { age: 1, nhsNumber: '9990000018' }).message, /\/nhsNumber is not a known field/);
  });

  it('reads a nested filter and refuses an unknown operator deep inside it', () => {
    const good = {
      kind: 'not',
      of: { kind: 'any', of: [{ kind: 'compare', column: 'age', operator: '>', value: 60 }] },
    };
    assert.deepEqual(parse(FilterSchema, good, { what: 'filter' }), good);
    refusal(FilterSchema, { kind: 'not', of: { kind: 'compare', column: 'age', operator: 'like', value: 60 } });
    refusal(FilterSchema, { kind: 'all', of: [{ kind: 'sql', text: 'drop table' }] });
  });

  it('says what the given kind of column misses, not what other kinds would need', () => {
    const column = (rest: object) => ({ name: 'sex', description: 'd', missingAllowed: true, ...rest });
    const dataset = (one: object) => ({ name: 'a', title: 't', description: 'd', missingMarks: [], columns: [one] });
    const categories = [{ value: '1' }, { value: '2', meaning: 'two' }];
    const message = (one: object) => refusal(DatasetSchemaSchema, dataset(one)).message;
    assert.match(
      message(column({ kind: 'category', categories })),
      /field \/columns\/0\/categories\/0\/meaning is missing\./,
    );
    assert.match(
      message(column({ kind: 'nmber' })),
      /field \/columns\/0\/kind must be one of: number, category, patient-key, image\./,
    );
  });

  it('names every field that is missing, and what a constant or an enumeration allows', () => {
    const schema = Type.Object({
      schema: Type.Literal('lantern.thing/1'),
      colour: Type.Enum(['red', 'green']),
      shape: Type.Union([Type.Literal('round'), Type.Literal('flat')]),
      weight: Type.Union([Type.Null(), Type.Number()]),
    });
    const whole = { schema: 'lantern.thing/1', colour: 'red', shape: 'flat', weight: null };
    const said = (change: object) => refusal(schema, { ...whole, ...change }).message;
    assert.match(refusal(schema, {}).message, /field \/schema is missing, and so are: colour, shape, weight\.$/);
    assert.match(said({ schema: 'x' }), /field \/schema must be lantern\.thing\/1\.$/);
    assert.match(said({ colour: 'blue' }), /field \/colour must be one of: red, green\.$/);
    assert.match(said({ shape: 'square' }), /field \/shape must be one of: round, flat\.$/);
    assert.match(said({ weight: 'heavy' }), /field \/weight must be null or number\.$/);
    assert.match(refusal(schema, 7).message, /field \(whole\) must be object\.$/);
  });

  it('puts a part at its place in the whole', () => {
    try {
      parse(schema, {}, { what: 'list', at: '/entry/3' });
      assert.fail('was accepted');
    } catch (error) {
      assert.ok(error instanceof AppError);
      assert.equal(error.field, '/entry/3/age');
      assert.equal(error.message, 'list: field /entry/3/age is missing.');
    }
  });

  it('holds a project to the kinds of egress there are', () => {
    assert.equal(refusal(ProjectSpecSchema, { egress: ['rows'] }).code, 'input.invalid');
  });
});
