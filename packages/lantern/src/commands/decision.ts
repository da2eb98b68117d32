/** `lantern site projects | preview | decide | grant`: the governance lead's verbs. */
import { type NewDecision, SITE_API, type SiteProject } from '@lantern/contract';
import { Command } from 'commander';
import { type CommandContext, type CommonOptions, connected, withConnection } from '../cli/command-context.ts';
import { table } from '../cli/output.ts';
import { exactlyOne } from './exactly-one.ts';
import { idArgument } from './id-argument.ts';

type DecideOptions = CommonOptions & {
  approve?: boolean;
  refuse?: boolean;
  withdraw?: boolean;
  reason: string;
  expires?: string;
  patientCountMin?: string;
  runPatientCountMin?: string;
  parameterRowRatioMax?: string;
  categoryPatientCountMin?: string;
};

export function decisionCommands(context: CommandContext): Command[] {
  return [projectsCommand(context), previewCommand(context), decideCommand(context), grantCommand(context)];
}

function projectsCommand(context: CommandContext): Command {
  return withConnection(new Command('projects'))
    .description('projects that ask this site, and where its decisions stand')
    .action(
      connected(context, async ({ api }, { output }) => {
        const { projects } = await api.call(SITE_API.listProjects, {});
        const rows = projects.map((project) => [
          project.projectId,
          project.state,
          project.spec.title,
          project.spec.expiresAt,
        ]);
        output.result({ projects }, table([['project', 'decision', 'title', 'until'], ...rows]));
      }),
    );
}

function previewCommand(context: CommandContext): Command {
  return withConnection(new Command('preview'))
    .description("what the disclosure gate would say to a project's algorithms on this site's rows; stays inside")
    .argument('<project id>')
    .action(
      connected(context, async ({ api }, { output, args: [projectId] }) => {
        const preview = await api.call(SITE_API.previewProject, {
          params: { projectId: idArgument('ProjectId', projectId) },
        });
        const text = preview.algorithms.map(({ name, findings }) =>
          findings.length === 0
            ? `${name}: passes the gate's defaults`
            : [`${name}: refused by the gate's defaults`, ...findings.map((finding) => `  - ${finding.message}`)].join(
                '\n',
              ),
        );
        output.result(preview, text.join('\n'));
      }),
    );
}

function decideCommand(context: CommandContext): Command {
  return withConnection(new Command('decide'))
    .description('approve, refuse or withdraw; the decision is signed by this site and obeyed by it')
    .argument('<project id>')
    .option('--approve', 'approve')
    .option('--refuse', 'refuse')
    .option('--withdraw', 'withdraw an approval; the next round at this site does not happen')
    .requiredOption('--reason <text>', 'why, for the record')
    .option('--expires <date-time>', 'when the approval ends (default: with the project)')
    .option('--patient-count-min <n>', 'threshold for counts (10 or more)')
    .option('--run-patient-count-min <n>', 'patients needed behind statistics of a run')
    .option('--parameter-row-ratio-max <x>', 'parameters per row allowed for statistics of a run (default 0.33)')
    .option(
      '--category-patient-count-min <n>',
      'patients needed in every category for statistics of a run (default 10)',
    )
    .action(
      connected<DecideOptions>(context, async ({ api }, { output, options, args: [projectId] }) => {
        const project = await api.call(SITE_API.decide, {
          params: { projectId: idArgument('ProjectId', projectId) },
          body: newDecision(options),
        });
        output.result(project, describe(project));
      }),
    );
}

function newDecision(options: DecideOptions): NewDecision {
  const { approve, refuse, withdraw } = options;
  const verdict = exactlyOne({ approve, refuse, withdraw });
  const runStatistics = {
    ...(options.runPatientCountMin === undefined ? {} : { patientCountMin: Number(options.runPatientCountMin) }),
    ...(options.parameterRowRatioMax === undefined
      ? {}
      : { parameterRowRatioMax: Number(options.parameterRowRatioMax) }),
    ...(options.categoryPatientCountMin === undefined
      ? {}
      : { categoryPatientCountMin: Number(options.categoryPatientCountMin) }),
  };
  return {
    verdict: ({ approve: 'approved', refuse: 'refused', withdraw: 'withdrawn' } as const)[verdict],
    reason: options.reason,
    ...(options.expires === undefined ? {} : { expiresAt: options.expires }),
    ...(options.patientCountMin === undefined ? {} : { counts: { patientCountMin: Number(options.patientCountMin) } }),
    ...(Object.keys(runStatistics).length === 0 ? {} : { runStatistics }),
  };
}

function describe(project: SiteProject): string {
  const conditions = project.decision?.conditions;
  const limits =
    conditions === undefined
      ? ''
      : `\n  counts: at least ${conditions.counts.patientCountMin} patients; run statistics: at least ${conditions.runStatistics.patientCountMin} patients, ` +
        `${conditions.runStatistics.parameterRowRatioMax} parameters per row, ${conditions.runStatistics.categoryPatientCountMin} patients per category` +
        `\n  may leave: ${conditions.egress.join(', ')}`;
  return `${project.projectId} is now ${project.state}.${limits}`;
}

type GrantOptions = CommonOptions & { dataset: string; more: string; reason: string };

function grantCommand(context: CommandContext): Command {
  return withConnection(new Command('grant-questions'))
    .description('grant a project more questions on a dataset, after a person looked')
    .argument('<project id>')
    .requiredOption('--dataset <name>', 'dataset')
    .requiredOption('--more <n>', 'how many more')
    .requiredOption('--reason <text>', 'why, for the record')
    .action(
      connected<GrantOptions>(context, async ({ api }, { output, options, args: [projectId] }) => {
        await api.call(SITE_API.grantQuestions, {
          params: { projectId: idArgument('ProjectId', projectId) },
          body: { dataset: options.dataset, more: Number(options.more), reason: options.reason },
        });
        output.result({ granted: Number(options.more) }, `${options.more} more questions granted.`);
      }),
    );
}
