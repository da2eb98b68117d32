import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AnswerBodySchema, matches } from '@lantern/contract';
import { refusedByGate } from './refusal.ts';

test('a refusal for more reasons than an answer holds is an answer still, and says how many there are', () => {
  const findings = Array.from({ length: 300 }, (_, index) => ({
    rule: 'category-patient-count' as const,
    subject: `a${index}`,
    limit: 10,
    message: `Fewer than 10 patients stand behind a${index}.`,
  }));
  const { body } = refusedByGate(findings);
  assert.ok(matches(AnswerBodySchema, body));
  assert.ok(body.kind === 'refused' && /And 299 more/.test(body.message));
  assert.deepEqual(body.findings, findings.slice(0, 100));
});
