import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Decision, Filter } from '@lantern/contract';
import { buildAnalysisBundle, buildGraphBundle } from '@lantern/runner';
import { documentDigest, newId } from '@lantern/service';
import { EXACT_ANALYSIS, NETWORK_MODEL, projectSpec } from '../demo/plans.ts';
import { decisionText, filterText, projectText } from './project-text.ts';

const head = { version: '1.2.0', description: 'as described' };
const exact = buildAnalysisBundle({ ...head, name: 'exact', analysis: EXACT_ANALYSIS });
const network = buildGraphBundle({ ...head, name: 'network', model: NETWORK_MODEL, seed: 7 });
const siteId = newId('SiteId');
const spec = projectSpec({
  sites: [siteId],
  bundles: { exact: exact.bundleDigest, network: network.bundleDigest },
  now: new Date('2026-03-01T00:00:00Z'),
});
const project = { projectId: newId('ProjectId'), projectDigest: documentDigest(spec), spec };
const manifests = new Map([exact, network].map(({ bundleDigest, manifest }) => [bundleDigest, manifest]));

/** Every text and number of a document, wherever it stands. */
function leaves(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [String(value)];
  return Object.values(value).flatMap(leaves);
}

describe('a project in words', () => {
  const text = projectText(project, manifests, new Map([[siteId, 'St Elsewhere']]));

  it('leaves out nothing that is signed', () => {
    const codes = new Set(['numeric', 'one-hot', 'in', 'all', 'true', 'drop-row', siteId]); // said in other words
    for (const leaf of leaves(spec)) if (!codes.has(leaf)) assert.ok(text.includes(leaf), leaf);
    assert.ok(text.includes(project.projectDigest));
    assert.ok(text.includes('St Elsewhere'));
  });

  it('says of a graph how large its batches are and how many parameters it fits, of an analysis its settings', () => {
    assert.match(text, /batch size +512 rows/);
    assert.match(text, /parameters +14$/m);
    assert.match(text, /13 features → dense 1, sigmoid-cross-entropy, sgd momentum 0/);
    assert.match(text, /built-in analysis logistic-regression, no code travels, ridge 1, damping 1/);
    assert.match(projectText(project, new Map()), /the hub did not hand out the manifest/);
  });

  it('shows a field that it does not know, wherever the contract adds one', () => {
    const [first, ...rest] = spec.algorithms;
    const bounded = { ...first, learningRateMax: 0.25, strategies: ['fedavg', 'scaffold'], work: { epochsMax: 9 } };
    const later = { ...spec, ethics: 'REC 26/041', algorithms: [bounded, ...rest] } as typeof spec;
    const shown = projectText({ ...project, spec: later }, manifests);
    for (const line of [/ethics +REC 26\/041/, /learningRateMax 0\.25/, /strategies +fedavg, scaffold/, /epochsMax 9/])
      assert.match(shown, line);
  });

  it('lets no text of a researcher draw over it or begin a line', () => {
    const purpose = 'Good.\n  may leave      nothing\u001b[2K\u202eevil';
    const shown = projectText({ ...project, spec: { ...spec, title: 'a\u001b[1A', purpose } }, manifests);
    assert.equal(shown.match(/^ +may leave/gm)?.length, 1);
    for (const drawing of ['\u001b', '\u202e']) assert.ok(!shown.includes(drawing));
    assert.match(shown, /Good\. ⏎ {3}may leave/);
  });

  it('says conditions on rows as a person would', () => {
    const filter: Filter = {
      kind: 'all',
      of: [
        { kind: 'in', column: 'sex', values: ['1', '2'] },
        { kind: 'not', of: { kind: 'any', of: [{ kind: 'compare', column: 'age', operator: '<', value: 35 }] } },
        { kind: 'missing', column: 'chol' },
      ],
    };
    assert.equal(filterText(filter), '(sex is 1 or 2) and (not (age < 35)) and (chol is missing)');
    assert.equal(filterText({ kind: 'all', of: [] }), 'every row');
    assert.equal(filterText({ kind: 'any', of: [] }), 'no row');
  });
});

describe("a site's decision in words", () => {
  it('leaves out nothing of its conditions', () => {
    const decision: Decision = {
      schema: 'lantern.decision/1',
      decisionId: newId('DecisionId'),
      siteId,
      projectId: project.projectId,
      projectDigest: project.projectDigest,
      verdict: 'approved',
      reason: 'Committee of 1 March.',
      decidedBy: 'grace',
      decidedAt: '2026-03-02T08:00:00.000Z',
      expiresAt: '2026-04-01T00:00:00.000Z',
      sequence: 3,
      conditions: {
        datasets: ['heart-disease'],
        bundleDigests: [exact.bundleDigest],
        egress: ['counts', 'moments'],
        counts: { patientCountMin: 25, rounding: 15, noiseStdDev: 6.5, questionsMax: 31 },
        runStatistics: { patientCountMin: 12, parameterRowRatioMax: 0.47, categoryPatientCountMin: 11 },
        runCountMax: 77,
      },
    };
    const text = decisionText(decision);
    const hidden = new Set<string>([decision.schema, decision.decisionId, siteId, decision.projectId]);
    hidden.add(decision.projectDigest); // the project's own text has it
    for (const leaf of leaves(decision)) if (!hidden.has(leaf)) assert.ok(text.includes(leaf), leaf);
  });
});
