/**
 * A project in words: everything that a decision signs, so that a governance lead reads what the digest stands for.
 *
 * Fields that need a sentence have one; every other field of the document is printed by its name. So a field that the
 * contract gains is shown without a change here, and nothing that is signed is left out.
 */
import {
  type BundleManifest,
  type Conditions,
  type Decision,
  type Digest,
  type Feature,
  type FeatureSpec,
  type Filter,
  FREE_TEXT_DEFAULT,
  type GraphManifest,
  type ModelSpec,
  type ProjectAlgorithm,
  type ProjectSpec,
  type TrainingBounds,
} from '@lantern/contract';
import { printable } from '../cli/output.ts';

export type Manifests = ReadonlyMap<Digest, BundleManifest>;
type Line = readonly [label: string, text: string];

const LABEL_WIDTH = 14;

function lines(indent: number, rows: readonly Line[]): string {
  const pad = ' '.repeat(indent);
  return rows.map(([label, text]) => `${pad}${label.padEnd(LABEL_WIDTH)} ${printable(text)}`).join('\n');
}

/** `siteNames`: what to call the sites, where that is known. */
export function projectText(
  project: { readonly projectId: string; readonly projectDigest: Digest; readonly spec: ProjectSpec },
  manifests: Manifests,
  siteNames: ReadonlyMap<string, string> = new Map(),
): string {
  const { title, purpose, sites, datasets, algorithms, egress, privacy, expiresAt, ...others } = project.spec;
  const head = lines(2, [
    ['project', project.projectId],
    ['digest', `${project.projectDigest} (what a decision signs)`],
    ['purpose', purpose],
    ['ends', expiresAt],
    ['sites', sites.map((siteId) => siteNames.get(siteId) ?? siteId).join(', ')],
    ['datasets', datasets.join(', ')],
    ['may leave', egress.length === 0 ? 'nothing' : egress.join(', ')],
    ['privacy', privacyText(privacy)],
    ...otherFields(others),
  ]);
  return [printable(title), head, ...algorithms.map((algorithm) => algorithmText(algorithm, manifests))].join('\n');
}

function privacyText(privacy: ProjectSpec['privacy']): string {
  const { updateNormMax, ...others } = privacy;
  const clipping =
    updateNormMax === undefined
      ? 'weight updates are not clipped'
      : `weight updates are clipped to an L2 norm of ${updateNormMax}`;
  return [clipping, ...otherFields(others).map(([name, text]) => `${name} ${text}`)].join('; ');
}

function algorithmText(algorithm: ProjectAlgorithm, manifests: Manifests): string {
  const { name, bundleDigest, features, roundsMax, training, ...others } = algorithm;
  const { dataset, features: columns, label, trainWhere, testWhere, missing, ...otherOfFeatures } = features;
  const rows = lines(4, [
    ['bundle', bundleDigest],
    ...manifestLines(manifests.get(bundleDigest)),
    ['rounds', `at most ${roundsMax}`],
    ...(training === undefined ? [] : [['trained within', boundsText(training)] as const]),
    ...otherFields(others),
    ['dataset', dataset],
    ['features', columns.map(featureText).join(', ')],
    ['label', `${label.name}: ${filterText(label.positiveWhen)}`],
    ['trained on', filterText(trainWhere)],
    ['tested on', filterText(testWhere)],
    ['missing', missingText(missing)],
    ...otherFields(otherOfFeatures),
  ]);
  return `  algorithm "${name}"\n${rows}`;
}

function missingText(missing: FeatureSpec['missing']): string {
  switch (missing) {
    case 'drop-row':
      return 'rows with a missing value in a used column are left out';
  }
}

function manifestLines(manifest: BundleManifest | undefined): Line[] {
  if (manifest === undefined) return [['kind', 'not known here: the hub did not hand out the manifest']];
  const name: Line = ['', `${manifest.name} ${manifest.version}: ${manifest.description}`];
  if (manifest.kind === 'analysis') {
    const { kind, ...settings } = manifest.analysis;
    const set = otherFields(settings).map(([setting, text]) => `${setting} ${text}`);
    return [name, ['kind', [`built-in analysis ${kind}, no code travels`, ...set].join(', ')]];
  }
  return [
    name,
    ['kind', 'training graph (ONNX): data flow that cannot open a file or a socket'],
    ['model', modelText(manifest.model)],
    ['parameters', `${parameterCount(manifest)}`],
    ['batch size', `${manifest.model.batchSize} rows`],
  ];
}

function modelText({ featureCount, layers, loss, optimiser, batchSize: _shown, ...others }: ModelSpec): string {
  const { kind, ...settings } = optimiser;
  const steps = layers.map((layer) => (layer.kind === 'dense' ? `dense ${layer.units}` : layer.kind));
  const named = (value: object) => otherFields(value).map(([name, text]) => `${name} ${text}`);
  return [
    [`${featureCount} features`, ...steps].join(' → '),
    loss,
    [kind, ...named(settings)].join(' '),
    ...named(others),
  ].join(', ');
}

function parameterCount({ parameters }: GraphManifest): number {
  return parameters.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0);
}

function featureText(feature: Feature): string {
  if (feature.kind === 'numeric') return feature.column;
  if (feature.kind === 'image') return `${feature.column} (image, ${feature.fit} to ${feature.shape.join(' x ')})`;
  return `${feature.column} (one of ${feature.categories.join(', ')}${feature.dropFirst ? '; the first is the reference' : ''})`;
}

/** A condition on rows as a person would say it. */
export function filterText(filter: Filter): string {
  switch (filter.kind) {
    case 'all':
      return filter.of.length === 0 ? 'every row' : joined(filter.of, ' and ');
    case 'any':
      return filter.of.length === 0 ? 'no row' : joined(filter.of, ' or ');
    case 'not':
      return `not (${filterText(filter.of)})`;
    case 'compare':
      return `${filter.column} ${filter.operator} ${filter.value}`;
    case 'in':
      return `${filter.column} is ${filter.values.join(' or ')}`;
    case 'missing':
      return `${filter.column} is missing`;
  }
}

function joined(filters: readonly Filter[], word: string): string {
  const [only] = filters;
  if (only !== undefined && filters.length === 1) return filterText(only);
  return filters.map((filter) => `(${filterText(filter)})`).join(word);
}

export function decisionText(decision: Decision): string {
  const { verdict, sequence, decidedBy, decidedAt, expiresAt, reason, conditions } = decision;
  const head: Line[] = [
    ['verdict', `${verdict} by ${decidedBy} at ${decidedAt} (decision ${sequence} on this project)`],
    ['reason', reason],
    ...(expiresAt === undefined ? [] : [['holds until', expiresAt] as const]),
  ];
  return `  this site's decision\n${lines(4, [...head, ...(conditions === undefined ? [] : conditionLines(conditions))])}`;
}

function conditionLines(conditions: Conditions): Line[] {
  const {
    datasets,
    bundleDigests,
    egress,
    counts,
    runStatistics,
    freeText = FREE_TEXT_DEFAULT,
    ...others
  } = conditions;
  const named = (value: object) =>
    otherFields(value)
      .map(([name, text]) => `${name} ${text}`)
      .join(', ');
  return [
    ['datasets', datasets.join(', ')],
    ['bundles', bundleDigests.length === 0 ? 'none' : bundleDigests.join(', ')],
    ['may leave', egress.length === 0 ? 'nothing' : egress.join(', ')],
    ['counts', named(counts)],
    ['run statistics', named(runStatistics)],
    ['free text', freeText],
    ...otherFields(others),
  ];
}

/** How far a graph may be trained, in one line. */
export function boundsText(training: TrainingBounds): string {
  return otherFields(training)
    .map(([name, text]) => `${name} ${text}`)
    .join('; ');
}

/** Fields by their own names, for whatever has no sentence of its own. */
function otherFields(value: object): Line[] {
  return Object.entries(value).flatMap(([name, member]: [string, unknown]) =>
    member === undefined ? [] : [[name, valueText(member)] as const],
  );
}

function valueText(value: unknown): string {
  if (Array.isArray(value)) return value.map(valueText).join(', ');
  if (typeof value !== 'object' || value === null) return String(value);
  return `{ ${otherFields(value)
    .map(([name, text]) => `${name} ${text}`)
    .join(', ')} }`;
}
