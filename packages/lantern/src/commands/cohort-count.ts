/** `lantern cohort count`: how many patients are in a cohort at every site of a project, and what they are like. */
import {
  type AnswerBody,
  assertCohort,
  type Characteristic,
  HUB_API,
  type Question,
  RECORDS_DATASET_DEFAULT,
  type ReleasedCount,
  type SiteId,
} from '@lantern/contract';
import { readCirceValue } from '@lantern/omop';
import { Command } from 'commander';
import { Type } from 'typebox';
import { type CommandContext, type CommonOptions, connected, withConnection } from '../cli/command-context.ts';
import { readJsonFile } from '../cli/json-file.ts';
import { printable, table } from '../cli/output.ts';
import { describeOption } from './describe-option.ts';
import { countText, siteNamesOf, sumText, unansweredText } from './discovery-text.ts';
import { idArgument } from './id-argument.ts';
import { waitForAnswers } from './project.ts';

type CountOptions = CommonOptions & {
  readonly project: string;
  readonly definition: string;
  readonly dataset: string;
  readonly describe?: readonly Characteristic[];
};

const DefinitionFileSchema = Type.Record(Type.String(), Type.Unknown());

export function cohortCountCommand(context: CommandContext): Command {
  return withConnection(new Command('count'))
    .description(
      'ask every site of a project how many patients are in a cohort; every number passed its disclosure gate',
    )
    .requiredOption('--project <id>')
    .requiredOption('--definition <file>', 'JSON, as ATLAS exports it')
    .option(
      '--describe <list>',
      'sex,age:10,year,top-conditions:10,top-drugs:10,modality,crossing:sex+age,measurement:CONCEPT/UNIT/BOUND/BOUND…',
      describeOption,
    )
    .option('--dataset <name>', 'under which the sites keep their records', RECORDS_DATASET_DEFAULT)
    .action(
      connected<CountOptions>(context, async (connection, { output, options, signal }) => {
        const definition = await readJsonFile(options.definition, DefinitionFileSchema, 'Cohort definition');
        readCirceValue(definition); // as each site will: what it does not understand is said here at once
        const cohort = { definition, describe: [...(options.describe ?? [])] };
        assertCohort(cohort);
        const asked = await connection.api.call(HUB_API.askQuestion, {
          params: { projectId: idArgument('ProjectId', options.project) },
          body: { dataset: options.dataset, cohort },
        });
        const progress = output.progress('Sites');
        const question = await waitForAnswers(connection, {
          asked,
          signal,
          onAnswer: (done, total) => progress.update(done, total),
        });
        progress.end();
        output.result(question, cohortText(question, await siteNamesOf(connection.api)));
      }),
    );
}

type CohortAnswer = Extract<AnswerBody, { kind: 'cohort' }>;
type Row = readonly string[];

function cohortText(question: Question, names: ReadonlyMap<SiteId, string>): string {
  const answers = question.answers.flatMap(({ siteId, body }) =>
    body?.kind === 'cohort' ? [{ name: names.get(siteId) ?? siteId, body }] : [],
  );
  const { sums } = question;
  if (sums === undefined) return unansweredText(question, names);
  const bodies = answers.map(({ body }) => body);
  const head = (what: string): Row => [what, ...answers.map(({ name }) => name), 'sum of what was released'];
  const across = (pick: (body: CohortAnswer) => ReleasedCount | undefined) =>
    bodies.map((body) => countText(pick(body)));
  const rows: Row[] = [
    head('patients'),
    ...sums.attrition.map(({ rule, sum }, index) => [
      `after ${printable(rule)}`,
      ...across(({ attrition }) => attrition[index]?.count),
      sumText(sum),
    ]),
    ['in the cohort', ...across(({ total }) => total), sumText(sums.total)],
  ];
  const tables = sums.tables.map(({ column, cells }, index) =>
    table([
      head(column),
      ...cells.map(({ label, meaning, sum }) => [
        meaning === undefined ? label : `${label} ${meaning}`,
        ...across(({ tables: own }) => own[index]?.cells.find((cell) => cell.label === label)?.count),
        sumText(sum),
      ]),
    ]),
  );
  const left = table([
    ['questions left', ...answers.map(({ name }) => name)],
    ['', ...bodies.map(({ questionsLeft }) => String(questionsLeft))],
  ]);
  return [table(rows), ...tables, left, unansweredText(question, names)].filter((part) => part !== '').join('\n\n');
}
