import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CdsCardSchema, matches } from '@lantern/contract';
import fc from 'fast-check';
import type { InputFinding, InputValue } from './input-finding.ts';
import { type CardSource, findingsCard, riskCard } from './risk-card.ts';

const SOURCE: CardSource = {
  uuid: '6f1c9a9e-6d0c-4c1b-8a6f-2f4b1f0f5d11',
  versionDigest: '0123456789abcdef'.repeat(4),
  isRetired: false,
  version: {
    model: 'heart',
    version: 3,
    card: {
      title: 'Coronary disease before angiography',
      intendedUse: 'Referral to angiography.',
      notFor: 'Anybody under 18.',
      limits: ['Learnt in four hospitals.', 'Cholesterol is not to be trusted.'],
      outcome: 'narrowing of a coronary vessel',
      contact: 'the team',
    },
    evaluation: { combined: { rowCount: 254, auc: 0.8734 }, sites: [] },
  },
};
const VALUES: InputValue[] = [
  { kind: 'value', column: 'age', value: 55, label: 'Age', shown: '55 years' },
  { kind: 'value', column: 'bp', value: 141, label: 'Systolic', shown: '141 mm[Hg]', measured: '2026-03-10' },
];

/** CDS Hooks 2.0: members are never null or empty. */
function assertNothingEmpty(value: unknown): void {
  assert.ok(value !== null && value !== undefined && value !== '');
  if (Array.isArray(value)) assert.ok(value.length > 0);
  if (typeof value === 'object' && value !== null)
    for (const member of Object.values(value)) assertNothingEmpty(member);
}

test('a risk card says risk, inputs with dates, model version, pooled AUC, use and limits', () => {
  const card = riskCard(SOURCE, { probability: 0.7349, values: VALUES });
  assert.equal(card.summary, '73% probability of narrowing of a coronary vessel');
  assert.equal(card.indicator, 'info');
  assert.equal(card.source.label, 'Coronary disease before angiography, version 3');
  for (const part of [
    '**73%**',
    '| Systolic | 141 mm[Hg] | 2026-03-10 |',
    '| Age | 55 years | - |',
    'Model: heart, version 3, 0123456789ab.',
    'AUC 0.87 over 254 patients',
    'Referral to angiography.',
    'Anybody under 18.',
    '- Cholesterol is not to be trusted.',
  ]) {
    assert.ok(card.detail?.includes(part), part);
  }
});

test('a card of a retired version says so in its source and beside the model, with a risk and without', () => {
  const findings: InputFinding[] = [{ kind: 'missing', label: 'Cholesterol', reason: 'no result in the record' }];
  const cardsOf = (source: CardSource) => [
    riskCard(source, { probability: 0.7349, values: VALUES }),
    findingsCard(source, findings),
  ];
  for (const card of cardsOf({ ...SOURCE, isRetired: true })) {
    assert.equal(card.source.label, 'Coronary disease before angiography, version 3 (retired)');
    assert.match(card.detail ?? '', /Model: heart, version 3, 0123456789ab\.\n\*\*This version was retired/);
  }
  for (const card of cardsOf(SOURCE)) assert.ok(!JSON.stringify(card).includes('retired'));
});

test('a card never promises 0 or 100 percent', () => {
  const percent = (probability: number) => riskCard(SOURCE, { probability, values: VALUES }).summary.split(' ')[0];
  assert.deepEqual([0, 0.004, 0.005, 0.994, 0.996, 1].map(percent), ['<1%', '<1%', '1%', '99%', '>99%', '>99%']);
});

test('a findings card names what is missing and what is not usable, and has no risk', () => {
  const findings: InputFinding[] = [
    { kind: 'missing', column: 'chol', label: 'Cholesterol', reason: 'no result in the record' },
    { kind: 'impossible', column: 'bp', label: 'Systolic', reason: '1300 mm[Hg] is outside 50 to 300 mm[Hg]' },
  ];
  const card = findingsCard(SOURCE, findings);
  assert.equal(card.summary, 'No risk computed: 1 missing, 1 not usable (Cholesterol, Systolic)');
  assert.ok(card.detail?.includes('- Cholesterol: missing; no result in the record'));
  assert.ok(card.detail?.includes('- Systolic: not usable; 1300 mm[Hg] is outside'));
  assert.ok(!`${card.summary}${card.detail}`.includes('%'));
});

test('every card fits the schema, has no empty member and a summary of at most 140 characters', () => {
  const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 200 });
  fc.assert(
    fc.property(text, fc.double({ min: 0, max: 1, noNaN: true }), fc.boolean(), (label, probability, known) => {
      const version = {
        ...SOURCE.version,
        card: { ...SOURCE.version.card, outcome: `outcome ${label}` },
        evaluation: { combined: known ? { rowCount: 3, auc: 0.5 } : { rowCount: 3 }, sites: [] },
      };
      const source = { ...SOURCE, version };
      const finding: InputFinding = { kind: 'missing', label: `label ${label}`, reason: 'none' };
      const cards = [riskCard(source, { probability, values: VALUES }), findingsCard(source, [finding, finding])];
      for (const card of cards) {
        assert.ok(matches(CdsCardSchema, card) && card.summary.length <= 140 && card.summary.isWellFormed());
        assertNothingEmpty(card);
      }
    }),
    { numRuns: 200 },
  );
});

test('texts of the signed document cannot bring mark-up or break the table', () => {
  const label = 'a|b\n<img src=x>';
  const { detail = '' } = riskCard(SOURCE, { probability: 0.5, values: [{ ...VALUES[0], label } as InputValue] });
  assert.ok(detail.includes('| a\\|b &lt;img src=x> | 55 years | - |'));
});
