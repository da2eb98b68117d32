/** `lantern cohort concepts`: which concepts the records of the sites hold; one is named only with a count that may leave. */
import {
  type ConceptDomain,
  ConceptDomainSchema,
  type ConceptsQuestionSchema,
  HUB_API,
  type Question,
  RECORDS_DATASET_DEFAULT,
  type SiteId,
} from '@lantern/contract';
import { Command, Option } from 'commander';
import type { Static } from 'typebox';
import { type CommandContext, type CommonOptions, connected, withConnection } from '../cli/command-context.ts';
import { numberOption } from '../cli/number-option.ts';
import { table } from '../cli/output.ts';
import { countText, siteNamesOf, sumText, unansweredText } from './discovery-text.ts';
import { idArgument } from './id-argument.ts';
import { waitForAnswers } from './project.ts';

const LIMIT_DEFAULT = 10; // each costs a question of the budget

type ConceptsOptions = CommonOptions & {
  readonly project: string;
  readonly domain: ConceptDomain;
  readonly search?: string;
  readonly limit: number;
  readonly dataset: string;
};

export function cohortConceptsCommand(context: CommandContext): Command {
  const domains = ConceptDomainSchema.anyOf.map((one) => one.const);
  return withConnection(new Command('concepts'))
    .description('ask every site of a project which concepts its records hold, those of most patients first')
    .requiredOption('--project <id>')
    .addOption(new Option('--domain <name>').choices(domains).makeOptionMandatory())
    .option('--search <text>', 'only concepts whose name holds it')
    .option('--limit <n>', 'concepts at most; each costs a question of the budget', numberOption, LIMIT_DEFAULT)
    .option('--dataset <name>', 'under which the sites keep their records', RECORDS_DATASET_DEFAULT)
    .action(
      connected<ConceptsOptions>(context, async (connection, { output, options, signal }) => {
        const { project, domain, search, limit, dataset } = options;
        const concepts: Static<typeof ConceptsQuestionSchema>['concepts'] = {
          domain,
          limit,
          ...(search === undefined ? {} : { search }),
        };
        const asked = await connection.api.call(HUB_API.askQuestion, {
          params: { projectId: idArgument('ProjectId', project) },
          body: { dataset, concepts },
        });
        const question = await waitForAnswers(connection, { asked, signal });
        output.result(question, conceptsText(question, await siteNamesOf(connection.api)));
      }),
    );
}

function conceptsText(question: Question, names: ReadonlyMap<SiteId, string>): string {
  const answers = question.answers.flatMap(({ siteId, body }) =>
    body?.kind === 'concepts' ? [{ name: names.get(siteId) ?? siteId, body }] : [],
  );
  const rows = (question.sums?.tables[0]?.cells ?? []).map(({ label, meaning, sum }) => [
    label,
    meaning ?? '',
    ...answers.map(({ body }) => countText(body.concepts.find(({ conceptId }) => conceptId === label)?.count)),
    sumText(sum),
  ]);
  const sites = answers.map(({ name }) => name);
  const left = answers.map(({ body }) => String(body.questionsLeft));
  const parts = [
    table([['concept', 'name', ...sites, 'sum of what was released'], ...rows]),
    answers.length === 0
      ? ''
      : table([
          ['questions left', ...sites],
          ['', ...left],
        ]),
    unansweredText(question, names),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}
