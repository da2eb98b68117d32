/**
 * The CDS Hooks cards of a service: a risk with everything needed to judge it, or what is missing or impossible, and then no
 * risk. Members are never null or empty. Text from the record never enters a card, only numbers, dates and units that were
 * parsed, so a card cannot carry somebody else's mark-up.
 */
import type { CdsCard, EvaluationMetrics, ModelCard, ModelVersion } from '@lantern/contract';
import type { InputFinding, InputValue } from './input-finding.ts';

const SUMMARY_LENGTH_MAX = 140; // CDS Hooks 2.0, card attributes
const DIGEST_SHOWN_LENGTH = 12;

const OVERRIDE_SYSTEM = 'urn:lantern:override-reasons';
const OVERRIDE_REASONS: NonNullable<CdsCard['overrideReasons']> = [
  { code: 'input-wrong', system: OVERRIDE_SYSTEM, display: 'An input is wrong or out of date' },
  { code: 'patient-differs', system: OVERRIDE_SYSTEM, display: 'This patient is not like those the model learnt from' },
  { code: 'known-otherwise', system: OVERRIDE_SYSTEM, display: 'The answer is already known' },
  { code: 'not-useful', system: OVERRIDE_SYSTEM, display: 'Not useful for this decision' },
];

/** The codes a clinician may override with; feedback with another one is not ours. */
export const OVERRIDE_CODES: readonly string[] = OVERRIDE_REASONS.map(({ code }) => code);

/**
 * `versionDigest`: SHA-256 of the signed document, of which the beginning is shown. `isRetired`: the hub has retired the
 * version, and this site has not (yet) stopped it; whoever reads the card must know.
 */
export type CardSource = {
  readonly uuid: string;
  readonly version: Pick<ModelVersion, 'model' | 'version' | 'card' | 'evaluation'>;
  readonly versionDigest: string;
  readonly isRetired: boolean;
};

/** A card with a probability in [0, 1], computed from exactly these values. */
export function riskCard(source: CardSource, result: { probability: number; values: readonly InputValue[] }): CdsCard {
  const { card, evaluation } = source.version;
  const percent = percentText(result.probability);
  const detail = [
    `**${percent}** estimated probability of ${plain(card.outcome)}.`,
    '',
    'Computed from:',
    '',
    '| Input | Value | Measured |',
    '|---|---|---|',
    ...result.values.map(({ label, shown, measured }) => `| ${plain(label)} | ${plain(shown)} | ${measured ?? '-'} |`),
    '',
    ...modelLines(source, evaluation.combined),
    ...limitLines(card),
  ].join('\n');
  return { ...head(source), summary: shortened(`${percent} probability of ${card.outcome}`), detail };
}

/** A card that says what is missing or impossible. There is at least one finding. */
export function findingsCard(source: CardSource, findings: readonly InputFinding[]): CdsCard {
  const detail = [
    'No risk was computed, because the model needs every input:',
    '',
    ...findings.map(
      ({ kind, label, reason }) =>
        `- ${plain(label)}: ${kind === 'missing' ? 'missing' : 'not usable'}; ${plain(reason)}`,
    ),
    '',
    ...modelLines(source),
  ].join('\n');
  const named = findings.map(({ label }) => label).join(', ');
  return { ...head(source), summary: shortened(`No risk computed: ${findingCounts(findings)} (${named})`), detail };
}

function findingCounts(findings: readonly InputFinding[]): string {
  const missing = findings.filter(({ kind }) => kind === 'missing').length;
  const impossible = findings.length - missing;
  return [missing > 0 ? `${missing} missing` : '', impossible > 0 ? `${impossible} not usable` : '']
    .filter((part) => part !== '')
    .join(', ');
}

function head({ uuid, version, isRetired }: CardSource): Omit<CdsCard, 'summary' | 'detail'> {
  return {
    uuid,
    indicator: 'info',
    source: { label: `${version.card.title}, version ${version.version}${isRetired ? ' (retired)' : ''}` },
    overrideReasons: OVERRIDE_REASONS,
  };
}

function modelLines({ version, versionDigest, isRetired }: CardSource, metrics?: EvaluationMetrics): string[] {
  const digest = versionDigest.slice(0, DIGEST_SHOWN_LENGTH);
  const lines = [`Model: ${version.model}, version ${version.version}, ${digest}.`];
  if (isRetired) lines.push('**This version was retired by those who released it.**');
  if (metrics?.auc === undefined) return lines;
  return [...lines, `Pooled test set: AUC ${metrics.auc.toFixed(2)} over ${metrics.rowCount} patients.`];
}

function limitLines({ intendedUse, notFor, limits }: ModelCard): string[] {
  const lines = ['', `Intended use: ${plain(intendedUse)}`, `Not for: ${plain(notFor)}`, '', 'Limits:', ''];
  return [...lines, ...limits.map((limit) => `- ${plain(limit)}`)];
}

/** Whole percent; never 0 or 100, which no model can promise. */
function percentText(probability: number): string {
  const percent = Math.round(probability * 100);
  if (percent < 1) return '<1%';
  return percent > 99 ? '>99%' : `${percent}%`;
}

/** One line of Markdown without HTML, table bars or line breaks. */
function plain(text: string): string {
  return text.replace(/\s+/g, ' ').replace(/[<]/g, '&lt;').replace(/\|/g, '\\|');
}

function shortened(text: string): string {
  const line = text.replace(/\s+/g, ' ');
  if (line.length <= SUMMARY_LENGTH_MAX) return line;
  return `${line
    .slice(0, SUMMARY_LENGTH_MAX - 1)
    .toWellFormed()
    .trimEnd()}…`;
}
