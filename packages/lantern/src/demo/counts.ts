/** Feasibility: how many patients would there be? Every number passes the disclosure gate of its hospital. */
import { COUNT_POLICY_DEFAULT, EVERYTHING, type Filter, HUB_API, type Question, type SiteId } from '@lantern/contract';
import { table } from '../cli/output.ts';
import { waitForAnswers } from '../commands/project.ts';
import type { Story } from './demo.ts';
import { DATASET } from './heart-disease.ts';
import type { DemoProject } from './project.ts';

const QUESTIONS: readonly { label: string; filter: Filter }[] = [
  { label: 'all patients', filter: EVERYTHING },
  {
    label: 'men of 60 or older',
    filter: {
      kind: 'all',
      of: [
        { kind: 'in', column: 'sex', values: ['1'] },
        { kind: 'compare', column: 'age', operator: '>=', value: 60 },
      ],
    },
  },
  {
    label: 'women under 35',
    filter: {
      kind: 'all',
      of: [
        { kind: 'in', column: 'sex', values: ['0'] },
        { kind: 'compare', column: 'age', operator: '<', value: 35 },
      ],
    },
  },
  {
    label: 'all but women under 35',
    filter: {
      kind: 'not',
      of: {
        kind: 'all',
        of: [
          { kind: 'in', column: 'sex', values: ['0'] },
          { kind: 'compare', column: 'age', operator: '<', value: 35 },
        ],
      },
    },
  },
];

export async function countChapter(story: Story, project: DemoProject): Promise<void> {
  const { narrator, federation } = story;
  narrator.chapter('Feasibility counts, before anything is approved');
  const rows: string[][] = [];
  let left = new Map<SiteId, number>();
  for (const { label, filter } of QUESTIONS) {
    const question = await ask(story, project, filter);
    const bySite = new Map(question.answers.map((answer) => [answer.siteId, answer.body]));
    rows.push([label, ...federation.sites.map((site) => countText(bySite.get(site.siteId)))]);
    left = new Map(
      question.answers.flatMap(({ siteId, body }) => (body?.kind === 'count' ? [[siteId, body.questionsLeft]] : [])),
    );
  }
  narrator.table(table([['question', ...federation.sites.map((site) => site.hospital.siteName)], ...rows]));
  const { rounding, patientCountMin } = COUNT_POLICY_DEFAULT;
  narrator.say(
    `Every count has noise added and is rounded to ${rounding}; below ${patientCountMin}, and mostly somewhat above, it is withheld, and zero looks like ${patientCountMin - 1}. The same set always gives the same answer, and a set that differs from an answered one by fewer than ${patientCountMin} patients gets that answer again, so two questions cannot be subtracted to find one person. The noise comes from a secret that each site made when it started, so these counts differ from one demonstration to the next.`,
  );
  narrator.say(
    `Questions left, in one budget for all projects that nobody has decided about: ${federation.sites.map((site) => `${site.hospital.siteName} ${left.get(site.siteId) ?? '?'}`).join(', ')}.`,
  );
  narrator.fact('counts', { header: federation.sites.map((site) => site.hospital.siteName), rows });
}

async function ask({ federation, signal }: Story, project: DemoProject, filter: Filter): Promise<Question> {
  const asked = await federation.researcher.api.call(HUB_API.askQuestion, {
    params: { projectId: project.projectId },
    body: { dataset: DATASET.name, filter },
  });
  return waitForAnswers(federation.researcher, { asked, signal });
}

function countText(body: Question['answers'][number]['body']): string {
  if (body?.kind !== 'count') return body?.kind ?? 'no answer';
  return body.count.kind === 'released' ? `~${body.count.value}` : 'withheld';
}
