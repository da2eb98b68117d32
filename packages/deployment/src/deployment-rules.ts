/**
 * Whether a model version may be put to work at this site, as pure rules over the signed document and the site's policy. All
 * broken rules are named, so that one attempt shows everything that has to change.
 *
 * Not decided here: digests of weights and bundle, and the bundle's own rules; they need the bytes.
 */
import type { Feature, InputSource, ModelVersion, ModelVersionState } from '@lantern/contract';
import { designNames } from './design-row.ts';

/** What a site demands of any model it puts to work. */
export type DeploymentPolicy = { readonly aucMin: number; readonly siteCountMin: number };

export type DeploymentFinding = {
  readonly rule:
    | 'state'
    | 'signature'
    | 'standardisation'
    | 'features'
    | 'inputs'
    | 'model'
    | 'evaluation'
    | 'site-count';
  readonly message: string;
};

export type DeploymentCandidate = {
  readonly version: ModelVersion;
  /** As the hub says; a retired version is not deployed. */
  readonly state: ModelVersionState;
  readonly signatureVerified: boolean;
  readonly policy: DeploymentPolicy;
};

/** Every rule the candidate breaks; none: it may be deployed. */
export function deploymentFindings(candidate: DeploymentCandidate): DeploymentFinding[] {
  return [
    ...stateFindings(candidate),
    ...standardisationFindings(candidate.version),
    ...featureFindings(candidate.version),
    ...inputFindings(candidate.version),
    ...modelFindings(candidate.version),
    ...policyFindings(candidate),
  ];
}

function stateFindings({ state, signatureVerified }: DeploymentCandidate): DeploymentFinding[] {
  const findings: DeploymentFinding[] = [];
  if (state !== 'released') findings.push({ rule: 'state', message: `The model version is ${state}, not released.` });
  if (!signatureVerified) findings.push({ rule: 'signature', message: "The hub's signature does not verify." });
  return findings;
}

function standardisationFindings({ lineage, standardisation, featureNames }: ModelVersion): DeploymentFinding[] {
  if (lineage.plan.standardisation === 'per-site') {
    const message = 'Each site standardised by its own rows, so there is no one standardisation to carry to a bedside.';
    return [{ rule: 'standardisation', message }];
  }
  const { mean, stdDev } = standardisation;
  if (mean.length === featureNames.length && stdDev.length === featureNames.length) return [];
  const message = `The standardisation has ${mean.length} means and ${stdDev.length} deviations for ${featureNames.length} features.`;
  return [{ rule: 'standardisation', message }];
}

function featureFindings({ features, featureNames, datasetSchema }: ModelVersion): DeploymentFinding[] {
  const findings: DeploymentFinding[] = [];
  if (designNames(features).join('\n') !== featureNames.join('\n')) {
    findings.push({ rule: 'features', message: 'The feature names are not those that the features describe.' });
  }
  for (const { column } of features.features) {
    if (features.label.columns.includes(column)) {
      findings.push({ rule: 'features', message: `Column ${column} is both an input and the outcome.` });
    }
    const declared = datasetSchema.columns.find(({ name }) => name === column);
    if (declared === undefined || declared.kind === 'patient-key' || declared.kind === 'image') {
      findings.push({ rule: 'features', message: `Column ${column} is not in the dataset schema.` });
    }
  }
  return findings;
}

function inputFindings({ features, inputs }: ModelVersion): DeploymentFinding[] {
  return features.features.flatMap((feature) => {
    const sources = inputs.filter(({ column }) => column === feature.column);
    const [source] = sources;
    if (source === undefined)
      return [{ rule: 'inputs' as const, message: `Column ${feature.column} has no input source.` }];
    if (sources.length > 1) {
      return [{ rule: 'inputs' as const, message: `Column ${feature.column} has more than one input source.` }];
    }
    return sourceFindings(feature, source);
  });
}

/** A source must be able to give what the feature takes. */
function sourceFindings(feature: Feature, source: InputSource): DeploymentFinding[] {
  if (feature.kind === 'image')
    return [{ rule: 'inputs', message: `Column ${feature.column} is an image, which no input source gives.` }];
  const given = categoriesOf(source);
  if (feature.kind === 'numeric') {
    if (given === undefined) return [];
    return [{ rule: 'inputs', message: `Column ${feature.column} is a number, its input source gives categories.` }];
  }
  if (given === undefined) {
    return [{ rule: 'inputs', message: `Column ${feature.column} is a category, its input source gives a number.` }];
  }
  const unknown = given.filter((category) => !feature.categories.includes(category));
  if (unknown.length === 0) return [];
  const message = `Column ${feature.column}: the input source gives categories the model does not know (${unknown.join(', ')}).`;
  return [{ rule: 'inputs', message }];
}

/** `undefined`: the source gives a number. */
function categoriesOf(source: InputSource): readonly string[] | undefined {
  switch (source.kind) {
    case 'patient-age':
    case 'observation-quantity':
      return undefined;
    case 'patient-gender':
      return [source.categories.female, source.categories.male];
    case 'observation-threshold':
      return [source.valueAbove, source.valueOtherwise];
    case 'observation-code':
      return source.values.map(({ category }) => category);
  }
}

function modelFindings({ manifest, featureNames }: ModelVersion): DeploymentFinding[] {
  if (manifest.kind === 'analysis') {
    if (manifest.analysis.kind === 'logistic-regression') return [];
    return [{ rule: 'model', message: `The analysis ${manifest.analysis.kind} predicts nothing.` }];
  }
  const findings: DeploymentFinding[] = [];
  const { featureCount, layers } = manifest.model;
  if (featureCount !== featureNames.length) {
    findings.push({ rule: 'model', message: `The graph takes ${featureCount} features, not ${featureNames.length}.` });
  }
  const outputs = layers.filter((layer) => layer.kind === 'dense').at(-1)?.units ?? 0;
  if (outputs < 1 || outputs > 2) {
    findings.push({ rule: 'model', message: `The graph has ${outputs} outputs; a risk needs one, or two classes.` });
  }
  return findings;
}

function policyFindings({ version, policy }: DeploymentCandidate): DeploymentFinding[] {
  const findings: DeploymentFinding[] = [];
  const { auc } = version.evaluation.combined;
  if (auc === undefined) {
    findings.push({ rule: 'evaluation', message: 'The combined evaluation has no AUC.' });
  } else if (auc < policy.aucMin) {
    const message = `The combined AUC ${auc.toFixed(3)} is below this site's ${policy.aucMin}.`;
    findings.push({ rule: 'evaluation', message });
  }
  const siteCount = version.lineage.sites.length;
  if (siteCount < policy.siteCountMin) {
    const message = `${siteCount} sites stand behind the model; this site asks for ${policy.siteCountMin}.`;
    findings.push({ rule: 'site-count', message });
  }
  return findings;
}
