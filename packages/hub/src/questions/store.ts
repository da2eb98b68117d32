/** Rows of questions, and how far their tasks have come. */
import type { AnswerBody, HubTaskState, NewQuestion, ProjectId, QuestionId, SiteId } from '@lantern/contract';
import type { Selectable } from 'kysely';
import type { HubDb, HubTables } from '../tables.ts';

export async function insertQuestion(
  tx: HubDb,
  question: { questionId: QuestionId; projectId: ProjectId; question: NewQuestion; askedBy: string; askedAt: Date },
): Promise<void> {
  await tx
    .insertInto('question')
    .values({
      question_id: question.questionId,
      project_id: question.projectId,
      question: JSON.stringify(question.question),
      asked_by: question.askedBy,
      asked_at: question.askedAt,
    })
    .execute();
}

export async function findQuestion(
  db: HubDb,
  questionId: QuestionId,
): Promise<Selectable<HubTables['question']> | undefined> {
  return db.selectFrom('question').selectAll().where('question_id', '=', questionId).executeTakeFirst();
}

export type QuestionTask = {
  readonly siteId: SiteId;
  readonly state: HubTaskState;
  readonly answer: AnswerBody | null;
};

export async function listQuestionTasks(db: HubDb, questionId: QuestionId): Promise<QuestionTask[]> {
  const rows = await db
    .selectFrom('task')
    .select(['site_id', 'state', 'answer'])
    .where('question_id', '=', questionId)
    .orderBy('site_id')
    .execute();
  return rows.map((row) => ({ siteId: row.site_id, state: row.state, answer: row.answer }));
}
