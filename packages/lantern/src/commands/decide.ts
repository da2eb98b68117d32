/** `lantern site decide`: the governance lead's word on a project, with what it narrows and what it relaxes. */
import {
  AppError,
  COUNT_POLICY_DEFAULT,
  type Digest,
  EGRESS_KINDS,
  type EgressKind,
  FREE_TEXT_DEFAULT,
  FREE_TEXT_KINDS,
  type FreeText,
  type NewDecision,
  RUN_COUNT_MAX_DEFAULT,
  RUN_STATISTICS_POLICY_DEFAULT,
  SITE_API,
  type SiteProject,
} from '@lantern/contract';
import { Command } from 'commander';
import { type CommandContext, type CommonOptions, connected, withConnection } from '../cli/command-context.ts';
import { numberOption } from '../cli/number-option.ts';
import { exactlyOne } from './exactly-one.ts';
import { idArgument } from './id-argument.ts';
import { decisionText } from './project-text.ts';

type DecideOptions = CommonOptions & {
  approve?: boolean;
  refuse?: boolean;
  withdraw?: boolean;
  reason: string;
  expires?: string;
  egress?: string[];
  bundle?: string[];
  patientCountMin?: number;
  countRounding?: number;
  countNoiseStdDev?: number;
  questionsMax?: number;
  runPatientCountMin?: number;
  parameterRowRatioMax?: number;
  categoryPatientCountMin?: number;
  runCountMax?: number;
  freeText?: string;
};

const COUNTS = COUNT_POLICY_DEFAULT;
const RUNS = RUN_STATISTICS_POLICY_DEFAULT;

export function decideCommand(context: CommandContext): Command {
  const command = withConnection(new Command('decide'))
    .description(
      'approve, refuse or withdraw; the decision is signed by this site and obeyed by it.\n' +
        'Without further options an approval allows what the project asks, under the defaults of the gate.',
    )
    .argument('<project id>')
    .option('--approve', 'approve')
    .option('--refuse', 'refuse')
    .option('--withdraw', 'withdraw an approval; the next round at this site does not happen')
    .requiredOption('--reason <text>', 'why, for the record')
    .option('--expires <date-time>', 'when the approval ends, e.g. 2027-01-31T00:00:00Z (default: with the project)')
    .option(
      '--egress <kinds...>',
      `allow only these kinds of message to leave, of those the project asks: ${EGRESS_KINDS.join(', ')}`,
    )
    .option('--bundle <digests...>', 'allow only these bundles: digest, its first characters, or name of the algorithm')
    .option(
      '--free-text <kind>',
      `notes of records for this project, inside this site: ${FREE_TEXT_KINDS.join(' or ')} (default ${FREE_TEXT_DEFAULT}); read docs/free-text.md before allowing them`,
    );
  return withPolicy(command).action(
    connected<DecideOptions>(context, async ({ api }, { output, options, args: [text] }) => {
      const params = { projectId: idArgument('ProjectId', text) };
      const body = newDecision(options);
      const bundles =
        options.bundle === undefined
          ? {}
          : { bundleDigests: bundlesNamed(options.bundle, await api.call(SITE_API.readProject, { params })) };
      const project = await api.call(SITE_API.decide, { params, body: { ...body, ...bundles } });
      output.result(project, describe(project));
    }),
  );
}

/** The gate's settings. Those for counts may only be made stricter; those for run statistics may be relaxed in the open. */
function withPolicy(command: Command): Command {
  const or = (value: number) => `(default ${value}, or more)`;
  return command
    .option(
      '--patient-count-min <n>',
      `counts: patients below which nothing is said ${or(COUNTS.patientCountMin)}`,
      numberOption,
    )
    .option('--count-rounding <n>', `counts: rounded to multiples of this ${or(COUNTS.rounding)}`, numberOption)
    .option('--count-noise-std-dev <x>', `counts: noise added, in patients ${or(COUNTS.noiseStdDev)}`, numberOption)
    .option(
      '--questions-max <n>',
      `counts: questions before a person looks (default ${COUNTS.questionsMax})`,
      numberOption,
    )
    .option(
      '--run-patient-count-min <n>',
      `run statistics: patients needed behind them (default ${RUNS.patientCountMin})`,
      numberOption,
    )
    .option(
      '--parameter-row-ratio-max <x>',
      `run statistics: parameters allowed per row (default ${RUNS.parameterRowRatioMax})`,
      numberOption,
    )
    .option(
      '--category-patient-count-min <n>',
      `run statistics: patients needed in every category (default ${RUNS.categoryPatientCountMin})`,
      numberOption,
    )
    .option('--run-count-max <n>', `runs under this decision (default ${RUN_COUNT_MAX_DEFAULT})`, numberOption);
}

function newDecision(options: DecideOptions): NewDecision {
  const { approve, refuse, withdraw } = options;
  const verdict = exactlyOne({ approve, refuse, withdraw });
  const counts = given({
    patientCountMin: options.patientCountMin,
    rounding: options.countRounding,
    noiseStdDev: options.countNoiseStdDev,
    questionsMax: options.questionsMax,
  });
  const runStatistics = given({
    patientCountMin: options.runPatientCountMin,
    parameterRowRatioMax: options.parameterRowRatioMax,
    categoryPatientCountMin: options.categoryPatientCountMin,
  });
  return {
    verdict: ({ approve: 'approved', refuse: 'refused', withdraw: 'withdrawn' } as const)[verdict],
    reason: options.reason,
    ...(options.expires === undefined ? {} : { expiresAt: options.expires }),
    ...(options.egress === undefined ? {} : { egress: options.egress.map(egressKind) }),
    ...(counts === undefined ? {} : { counts }),
    ...(runStatistics === undefined ? {} : { runStatistics }),
    ...(options.runCountMax === undefined ? {} : { runCountMax: options.runCountMax }),
    ...(options.freeText === undefined ? {} : { freeText: freeTextKind(options.freeText) }),
  };
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** Only the settings that were typed; `undefined` when none was. */
function given<T extends Record<string, number | undefined>>(settings: T): Given<T> | undefined {
  const typed: Given<T> = {};
  for (const name in settings) {
    const value = settings[name];
    if (value !== undefined) Object.assign(typed, { [name]: value });
  }
  return Object.keys(typed).length === 0 ? undefined : typed;
}

function egressKind(text: string): EgressKind {
  const kind = EGRESS_KINDS.find((known) => known === text);
  if (kind !== undefined) return kind;
  throw new AppError('input.invalid', `--egress: "${text}" is none of ${EGRESS_KINDS.join(', ')}.`);
}

function freeTextKind(text: string): FreeText {
  const kind = FREE_TEXT_KINDS.find((known) => known === text);
  if (kind !== undefined) return kind;
  throw new AppError('input.invalid', `--free-text: "${text}" is none of ${FREE_TEXT_KINDS.join(', ')}.`);
}

const DIGEST_PREFIX_LENGTH_MIN = 8; // as shown in lists; two bundles of one project do not share it by chance

function bundlesNamed(texts: readonly string[], { spec }: SiteProject): Digest[] {
  return texts.map((text) => {
    const found = spec.algorithms.filter(
      ({ name, bundleDigest }) =>
        name === text || (text.length >= DIGEST_PREFIX_LENGTH_MIN && bundleDigest.startsWith(text)),
    );
    const digests = new Set(found.map(({ bundleDigest }) => bundleDigest));
    const [digest] = digests;
    if (digest !== undefined && digests.size === 1) return digest;
    const names = spec.algorithms.map(({ name }) => name).join(', ');
    throw new AppError('input.invalid', `--bundle: "${text}" names no one bundle of this project (${names}).`);
  });
}

function describe(project: SiteProject): string {
  const decision = project.decision === undefined ? '' : `\n${decisionText(project.decision)}`;
  return `${project.projectId} is now ${project.state}; the hub gets a copy of the signed decision.${decision}`;
}
