import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PROFILE_LINES } from '../generated/confidentiality-profile.ts';
import type { AttributeTypes } from './attribute-types.ts';
import { attributeTypesOf } from './attribute-types.ts';
import { type OptionName, type ProfileRow, profileRows } from './confidentiality-table.ts';
import { type DeidentificationProfile, PROFILE_DEFAULT } from './profile.ts';
import { type ActionKind, createRules } from './rules.ts';

const BASIC: DeidentificationProfile = { ...PROFILE_DEFAULT, dates: 'remove' };
const OPTION_SETTINGS: Readonly<Record<OptionName, Partial<DeidentificationProfile>>> = {
  safePrivate: { safePrivate: 'retain' },
  uids: { uids: 'retain' },
  deviceIdentity: { deviceIdentity: 'retain' },
  institutionIdentity: { institutionIdentity: 'retain' },
  patientCharacteristics: { patientCharacteristics: 'retain' },
  fullDates: { dates: 'retain' },
  modifiedDates: { dates: 'shift' },
  descriptors: { descriptors: 'clean' },
  structuredContent: { structuredContent: 'clean' },
  graphics: { graphics: 'clean' },
};
const TAG = { patientId: 0x00100020, patientName: 0x00100010, age: 0x00101010 };
const TYPES = ['none', 1, 2, 3] as const;

/** A SOP class that requires one attribute by one type, at the top and in sequences. */
function typesWith(tag: number, type: (typeof TYPES)[number]): AttributeTypes | undefined {
  if (type === 'none') return undefined;
  const required = new Map(type === 3 ? [] : [[tag, type] as const]);
  return { top: required, nested: required };
}

function tagOf({ attribute }: ProfileRow): number {
  if (attribute === 'private') return 0x00091001;
  if (attribute === 'curves') return 0x50023000;
  if (attribute === 'overlays') return 0x60043000;
  return attribute;
}

/** PS3.15 table E.1-1a, by hand: what each code allows for each type. */
const ALLOWED: Readonly<Record<string, Readonly<Record<string, readonly ActionKind[]>>>> = {
  X: { none: ['remove'], 1: ['remove', 'dummy', 'uid'], 2: ['remove', 'empty'], 3: ['remove'] },
  Z: { none: ['empty', 'dummy'], 1: ['dummy'], 2: ['empty'], 3: ['empty'] },
  D: { none: ['dummy', 'uid'], 1: ['dummy', 'uid'], 2: ['dummy', 'uid'], 3: ['dummy', 'uid'] },
  U: { none: ['uid'], 1: ['uid'], 2: ['uid'], 3: ['uid'] },
  'X/Z': { none: ['empty'], 1: ['dummy'], 2: ['empty'], 3: ['remove'] },
  'X/D': { none: ['dummy'], 1: ['dummy'], 2: ['dummy'], 3: ['remove'] },
  'Z/D': { none: ['dummy'], 1: ['dummy'], 2: ['empty'], 3: ['empty'] },
  'X/Z/D': { none: ['dummy', 'uid'], 1: ['dummy', 'uid'], 2: ['empty'], 3: ['remove'] },
  'X/Z/U*': { none: ['uid'], 1: ['uid'], 2: ['uid'], 3: ['uid'] },
};

describe('the rules of table E.1-1', () => {
  const rows = profileRows();

  test('cover the 621 rows of the source, each read as it is written', () => {
    assert.equal(rows.length, 621);
    for (const [index, line] of PROFILE_LINES.split('\n').entries()) {
      const row = rows[index];
      assert.ok(row !== undefined);
      const [attribute = '', basic, ...options] = line.split(' ');
      assert.equal(row.basic, basic, line);
      if (/^[0-9A-F]{8}$/.test(attribute)) assert.equal(row.attribute, Number.parseInt(attribute, 16));
      else assert.ok(typeof row.attribute === 'string', line);
      assert.deepEqual(
        [...row.options].map(([name, action]) => `${name}=${action}`),
        options,
        line,
      );
    }
  });

  test('act on every row by the Basic Profile as the type of the attribute allows', () => {
    const rules = createRules(BASIC);
    for (const row of rows) {
      for (const type of TYPES) {
        for (const nested of [false, true]) {
          const tag = tagOf(row);
          const { kind } = rules(tag, { types: typesWith(tag, type), nested });
          const where = `${tag.toString(16)} ${row.basic} type ${type}`;
          if (tag === TAG.patientId) assert.equal(kind, 'patient-id');
          else if (tag === TAG.patientName) assert.equal(kind, 'patient-name');
          else if (row.attribute === 'private') assert.equal(kind, 'private');
          // File meta information, commands and directories: no part of a data set, whatever their row says.
          else if (typeof row.attribute !== 'number' || tag >>> 16 < 8) assert.equal(kind, 'remove', where);
          else assert.ok(ALLOWED[row.basic]?.[type]?.includes(kind), `${where}: ${kind}`);
        }
      }
    }
  });

  for (const [option, setting] of Object.entries(OPTION_SETTINGS)) {
    test(`act on every row of the option ${option} as it says, and on no other row otherwise than without it`, () => {
      const rules = createRules({ ...BASIC, ...setting });
      const basic = createRules(BASIC);
      for (const row of rows) {
        const tag = tagOf(row);
        const place = { types: undefined, nested: false };
        const { kind } = rules(tag, place);
        const action = [...row.options].find(([name]) => name === option)?.[1];
        if (action === undefined || typeof row.attribute !== 'number' || tag >>> 16 < 8)
          assert.equal(kind, basic(tag, place).kind, tag.toString(16));
        else if (action === 'K') assert.equal(kind, tag === TAG.age ? 'age' : 'keep', tag.toString(16));
        else
          assert.equal(
            kind,
            option === 'modifiedDates'
              ? 'shift'
              : ['structuredContent', 'graphics', 'deviceIdentity'].includes(option)
                ? 'keep'
                : 'words',
            tag.toString(16),
          );
      }
    });
  }

  test('keep dates shifted where a retained device would keep them as they are', () => {
    const rules = createRules({ ...BASIC, dates: 'shift', deviceIdentity: 'retain' });
    assert.equal(rules(0x00181200, { types: undefined, nested: false }).kind, 'shift');
  });

  test('resolve a combination by the IOD: an acquisition date-time is removed from a CT, a dummy in an enhanced CT', () => {
    const rules = createRules(BASIC);
    const kindIn = (sopClass: string) => rules(0x0008002a, { types: attributeTypesOf(sopClass), nested: false }).kind;
    assert.equal(kindIn('1.2.840.10008.5.1.4.1.1.2'), 'remove');
    assert.equal(kindIn('1.2.840.10008.5.1.4.1.1.2.1'), 'dummy');
    assert.equal(kindIn('1.3.12.2.1107.5.9.1'), 'dummy');
  });
});

describe('attributes that table E.1-1 does not name', () => {
  const rules = createRules(BASIC);
  const kindOf = (tag: number) => rules(tag, { types: undefined, nested: false }).kind;

  test('are kept where PS3.6 knows them and removed where it does not', () => {
    assert.equal(kindOf(0x00180050), 'keep'); // SliceThickness
    assert.equal(kindOf(0x00280010), 'keep');
    assert.equal(kindOf(0x00189fff), 'remove');
    assert.equal(kindOf(0x7ffe0010), 'remove');
  });

  test('lose names, dates, addresses and UIDs of things, not UIDs of kinds of things', () => {
    assert.equal(kindOf(0x00142006), 'dummy'); // EvaluatorName
    assert.equal(kindOf(0x0008041f), 'dummy'); // StudyUpdateDateTime
    assert.equal(kindOf(0x00081190), 'empty'); // RetrieveURL
    assert.equal(kindOf(0x00200242), 'uid'); // SOPInstanceUIDOfConcatenationSource
    assert.equal(kindOf(0x00080016), 'keep'); // SOPClassUID
    assert.equal(kindOf(0x0008010c), 'keep'); // CodingSchemeUID
  });

  test('are reduced to known words where they are free text', () => {
    assert.equal(kindOf(0x0040a160), 'words'); // TextValue
    assert.equal(kindOf(0x300600c8), 'words'); // FrameOfReferenceTransformationComment
  });

  test('are removed where they are retired text, an overlay, a curve, a command or file meta information', () => {
    for (const tag of [0x00080010, 0x60000010, 0x50000005, 0x00000002, 0x00020010, 0x00080000])
      assert.equal(kindOf(tag), 'remove', tag.toString(16));
  });
});
