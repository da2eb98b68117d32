/** `lantern site projects | project | preview | grant-questions`: what asks this site, in the governance lead's words. */
import { SITE_API, toAppError } from '@lantern/contract';
import { Command } from 'commander';
import { type CommandContext, type CommonOptions, connected, withConnection } from '../cli/command-context.ts';
import { numberOption } from '../cli/number-option.ts';
import { table } from '../cli/output.ts';
import { decideCommand } from './decide.ts';
import { idArgument } from './id-argument.ts';
import { boundsText, decisionText, projectText } from './project-text.ts';

export function decisionCommands(context: CommandContext): Command[] {
  return [
    projectsCommand(context),
    projectCommand(context),
    previewCommand(context),
    decideCommand(context),
    grantCommand(context),
  ];
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

function projectCommand(context: CommandContext): Command {
  return withConnection(new Command('project'))
    .description('everything that a decision on a project signs, and the decision of this site with its conditions')
    .argument('<project id>')
    .action(
      connected(context, async ({ api }, { output, args: [projectId] }) => {
        const params = { projectId: idArgument('ProjectId', projectId) };
        const project = await api.call(SITE_API.readProject, { params });
        const { bundles } = await api.call(SITE_API.listProjectBundles, { params }).catch((caught: unknown) => {
          // The hub may be away; what was signed is known without it, and the text says what is missing.
          if (toAppError(caught).failureClass === 'transient') return { bundles: [] };
          throw caught;
        });
        const manifests = new Map(bundles.map(({ bundleDigest, manifest }) => [bundleDigest, manifest]));
        const decision =
          project.decision === undefined
            ? `  this site has not decided (${project.state}): lantern site preview, then lantern site decide`
            : decisionText(project.decision);
        output.result({ ...project, bundles }, `${projectText(project, manifests)}\n${decision}`);
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
        const text = preview.algorithms.map(({ name, findings, training }) =>
          [
            findings.length === 0 ? `${name}: passes the gate's defaults` : `${name}: refused by the gate's defaults`,
            ...findings.map((finding) => `  - ${finding.message}`),
            ...(training === undefined ? [] : [`  trained within: ${boundsText(training)}`]),
          ].join('\n'),
        );
        output.result(preview, text.join('\n'));
      }),
    );
}

type GrantOptions = CommonOptions & { dataset: string; more: number; reason: string };

function grantCommand(context: CommandContext): Command {
  return withConnection(new Command('grant-questions'))
    .description('grant a project more questions on a dataset, after a person looked')
    .argument('<project id>')
    .requiredOption('--dataset <name>', 'dataset')
    .requiredOption('--more <n>', 'how many more', numberOption)
    .requiredOption('--reason <text>', 'why, for the record')
    .action(
      connected<GrantOptions>(context, async ({ api }, { output, options, args: [projectId] }) => {
        await api.call(SITE_API.grantQuestions, {
          params: { projectId: idArgument('ProjectId', projectId) },
          body: { dataset: options.dataset, more: options.more, reason: options.reason },
        });
        output.result({ granted: options.more }, `${options.more} more questions granted.`);
      }),
    );
}
