import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { holds, type Name, parseCondition } from './condition.ts';

type Facts = Readonly<Record<string, readonly string[]>>;

function judged(text: string, facts: Facts): boolean | undefined {
  const condition = parseCondition(text);
  const key = ({ head, first, second }: Name) => [head, first, second].filter((part) => part !== undefined).join('.');
  return condition && holds(condition, { texts: (name) => facts[key(name)] ?? [] });
}

describe("conditions of HL7's tables", () => {
  it('are understood as they were written', () => {
    const cases: [string, Facts, boolean][] = [
      ['IF PV1-43 VALUED', { 'PV1.43': ['x'] }, true],
      ['IF PV1-43 VALUED', {}, false],
      [
        'IF OBX-2 EQUALS "SN" AND OBX-5.1 NOT EQUALS "<>" AND OBX-5.3 IN (":", "/")',
        { 'OBX.2': ['SN'], 'OBX.5.3': ['/'] },
        true,
      ],
      [
        'IF OBX-2 EQUALS "SN" AND OBX-5.1 NOT EQUALS "<>" AND OBX-5.3 IN (":", "/")',
        { 'OBX.2': ['SN'], 'OBX.5.1': ['<>'], 'OBX.5.3': ['/'] },
        false,
      ],
      ['IF OBX-5 LST.count LESS THAN OR EQUALS 1 OR OBX-2 IS "NA"', { 'OBX.5': ['1', '2'] }, false],
      ['IF OBX-5 LST.count LESS THAN OR EQUALS 1 OR OBX-2 IS "NA"', { 'OBX.5': ['1', '2'], 'OBX.2': ['NA'] }, true],
      ['IF PID-33 AND PID-34 VALUED', { 'PID.33': ['x'] }, false],
      ['IF SCH-26 or SCH-27 VALUED', { 'SCH.27': ['x'] }, true],
      ['IF TQ1-7 AND TQ1-8 NOT VALUED', { 'TQ1.7': ['x'] }, false],
      ['IF XCN.19 NOT VALUED XCN.20 NOT VALUED', { 'XCN.20': ['x'] }, false],
      ['IF PID-7 LENGTH GREATER THAN 8', { 'PID.7': ['197001020304'] }, true],
      ['IF OBX-33 COUNT>1', { 'OBX.33': ['1', '2'] }, true],
      ['IF NOT VALUED OR NOT IN ("ISO", "UUID")', { '': ['L'] }, true],
      ['IF NOT VALUED OR NOT IN ("ISO", "UUID")', { '': ['ISO'] }, false],
      [
        'IF PID-11 LST.COUNT EQUALS 1 AND PID-11.9 IS VALUED NOT EQUAL PID-12',
        { 'PID.11': ['a'], 'PID.11.9': ['N'], 'PID.12': ['S'] },
        true,
      ],
      ['IF (OBX-2 EQUALS "SN" AND OBX-5.1 EQUALS "<>"', { 'OBX.2': ['SN'], 'OBX.5.1': ['<>'] }, true],
      ['IF EVN-5 NOT VALUED AND (MSH-22 IS VALUED OR MSH-4 IS VALUED)', { 'MSH.4': ['x'] }, true],
      ['IF IAM-15 VALUED AND NOT "SEL"', { 'IAM.15': ['SEL'] }, false],
      ['IF PL.8 VALUED AND PL.1 NOT VALUED AND PL3.NOT VALUED', { 'PL.8': ['x'], 'PL.3': ['y'] }, false],
    ];
    for (const [text, facts, meant] of cases)
      assert.equal(judged(text, facts), meant, `${text} ${JSON.stringify(facts)}`);
  });

  it('are not guessed at where they follow no pattern', () => {
    for (const text of ['ic', 'c', 'IF OBR-25 NOT VALUED ERROR', 'when it is convenient'])
      assert.equal(parseCondition(text), undefined, text);
  });
});
