/** `lantern project`: draft, submit, watch decisions, ask counts. */
import {
  type ApiClient,
  FilterQuestionSchema,
  HUB_API,
  ProjectAlgorithmSchema,
  type ProjectSpec,
  ProjectSpecSchema,
  parse,
  type Question,
} from '@lantern/contract';
import { Command } from 'commander';
import { Type } from 'typebox';
import { type CommandContext, connected, withConnection } from '../cli/command-context.ts';
import type { Connection } from '../cli/connection.ts';
import { readJsonFile } from '../cli/json-file.ts';
import { table } from '../cli/output.ts';
import { bundleDigestOf, siteIdsOf } from './hub-names.ts';
import { idArgument } from './id-argument.ts';
import { type Manifests, projectText } from './project-text.ts';

const QUESTION_WAIT_MS = 20_000; // one long poll; the command polls again until every site has answered

export function projectCommand(context: CommandContext): Command {
  return new Command('project')
    .description('research purposes that sites decide on')
    .addCommand(createCommand(context))
    .addCommand(listCommand(context))
    .addCommand(showCommand(context))
    .addCommand(
      stateCommand(context, {
        verb: 'submit',
        description: 'ask the sites to decide',
        operation: HUB_API.submitProject,
      }),
    )
    .addCommand(
      stateCommand(context, {
        verb: 'close',
        description: 'close a project; its runs stop',
        operation: HUB_API.closeProject,
      }),
    )
    .addCommand(askCommand(context));
}

/** As in the contract, but a person may write names. */
const ProjectFileSchema = Type.Object(
  {
    ...ProjectSpecSchema.properties,
    sites: Type.Array(Type.String()),
    algorithms: Type.Array(
      Type.Object(
        { ...ProjectAlgorithmSchema.properties, bundleDigest: Type.String() },
        { additionalProperties: false },
      ),
    ),
  },
  { additionalProperties: false },
);

async function readProjectFile(api: ApiClient, file: string): Promise<ProjectSpec> {
  const written = await readJsonFile(file, ProjectFileSchema, 'Project');
  const algorithms: unknown[] = [];
  for (const algorithm of written.algorithms)
    algorithms.push({ ...algorithm, bundleDigest: await bundleDigestOf(api, algorithm.bundleDigest) });
  const spec = { ...written, sites: await siteIdsOf(api, written.sites), algorithms };
  return parse(ProjectSpecSchema, spec, { what: `Project in ${file}` });
}

function createCommand(context: CommandContext): Command {
  return withConnection(new Command('create'))
    .description('draft a project from a JSON file')
    .argument('<file>', 'project as JSON; sites by id or name, bundles by digest or "NAME VERSION"')
    .action(
      connected(context, async ({ api }, { output, args: [file = ''] }) => {
        const project = await api.call(HUB_API.createProject, { body: await readProjectFile(api, file) });
        output.result(project, `${project.projectId}  ${project.spec.title} (${project.state})`);
      }),
    );
}

function listCommand(context: CommandContext): Command {
  return withConnection(new Command('list'))
    .description('projects')
    .action(
      connected(context, async ({ api }, { output }) => {
        const { projects } = await api.call(HUB_API.listProjects, {});
        const rows = projects.map((project) => [
          project.projectId,
          project.state,
          project.spec.title,
          project.spec.expiresAt,
        ]);
        output.result({ projects }, table([['project', 'state', 'title', 'until'], ...rows]));
      }),
    );
}

function showCommand(context: CommandContext): Command {
  return withConnection(new Command('show'))
    .description('a project and what each site said')
    .argument('<project id>')
    .action(
      connected(context, async ({ api }, { output, args: [projectId] }) => {
        const detail = await api.call(HUB_API.readProject, {
          params: { projectId: idArgument('ProjectId', projectId) },
        });
        const { sites } = await api.call(HUB_API.listSites, {});
        const names = new Map(sites.map(({ siteId, name }) => [siteId, name]));
        const rows = detail.decisions.map(({ siteId, state }) => [names.get(siteId) ?? siteId, state]);
        output.result(
          detail,
          [
            `${projectText(detail.project, await manifestsOf(api), names)}`,
            `  the project is ${detail.project.state}\n`,
            table([['site', 'decision'], ...rows]),
          ].join('\n'),
        );
      }),
    );
}

async function manifestsOf(api: ApiClient): Promise<Manifests> {
  const { bundles } = await api.call(HUB_API.listBundles, {});
  return new Map(bundles.map(({ bundleDigest, manifest }) => [bundleDigest, manifest]));
}

type StateVerb = {
  verb: string;
  description: string;
  operation: typeof HUB_API.submitProject | typeof HUB_API.closeProject;
};

function stateCommand(context: CommandContext, { verb, description, operation }: StateVerb): Command {
  return withConnection(new Command(verb))
    .description(description)
    .argument('<project id>')
    .action(
      connected(context, async ({ api }, { output, args: [projectId] }) => {
        const project = await api.call(operation, { params: { projectId: idArgument('ProjectId', projectId) } });
        output.result(project, `${project.projectId} is ${project.state}.`);
      }),
    );
}

function askCommand(context: CommandContext): Command {
  return withConnection(new Command('ask'))
    .description('ask every site of a project for a count, or a summary of some columns')
    .argument('<project id>')
    .argument('<file>', 'question as JSON: dataset, filter, columns')
    .action(
      connected(context, async (connection, { output, args: [projectId, file = ''], signal }) => {
        const asked = await connection.api.call(HUB_API.askQuestion, {
          params: { projectId: idArgument('ProjectId', projectId) },
          body: await readJsonFile(file, FilterQuestionSchema, 'Question'),
        });
        const progress = output.progress('Sites');
        const question = await waitForAnswers(connection, {
          asked,
          signal,
          onAnswer: (done, total) => progress.update(done, total),
        });
        progress.end();
        output.result(question, describeAnswers(question));
      }),
    );
}

/** Follows a question until every site has answered. */
export async function waitForAnswers(
  connection: Connection,
  options: { asked: Question; signal?: AbortSignal; onAnswer?: (done: number, total: number) => void },
): Promise<Question> {
  let question = options.asked;
  while (!question.complete) {
    options.signal?.throwIfAborted();
    question = await connection.api.call(HUB_API.readQuestion, {
      params: { questionId: question.questionId },
      query: { waitMs: QUESTION_WAIT_MS },
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    options.onAnswer?.(question.answers.filter((answer) => answer.body !== undefined).length, question.answers.length);
  }
  return question;
}

function describeAnswers(question: Question): string {
  const rows = question.answers.map(({ siteId, state, body }) => {
    if (body === undefined) return [siteId, state];
    switch (body.kind) {
      case 'count':
        return [siteId, body.count.kind === 'released' ? `about ${body.count.value}` : 'fewer than the threshold'];
      case 'summary':
        return [
          siteId,
          body.total.kind === 'released' ? `about ${body.total.value}; tables with --json` : 'fewer than the threshold',
        ];
      case 'refused':
      case 'failed':
        return [siteId, `${body.kind}: ${body.message}`];
      default:
        return [siteId, state];
    }
  });
  return table([['site', 'answer'], ...rows]);
}
