/**
 * Finding images: the one place that both protocols ask. Matches come page by page, so that a hundred thousand of them need no more
 * memory than a page, and a peer that is slow to take them holds no connection of the database.
 *
 * Every query leaves a line in the audit log: who asked, by which keys, and how many matches were shown; never a value.
 */
import type { JsonDataSet } from '@lantern/dicom';
import { appendAudit, type Clock, type Database } from '@lantern/service';
import { type AnswerContext, answerOf } from './answers.ts';
import type { ImageQuery } from './query.ts';
import { countMatches, type MatchRow, matchPage } from './store.ts';

/** Some half a megabyte of rows. */
const PAGE_COUNT = 500;
/** Beyond it the rest is not counted: it would cost more than the answer. */
const REMAINING_COUNT_MAX = 10_000;
/** What a detail of the audit log holds. */
const KEYS_LENGTH_MAX = 200;

export type AskedBy = AnswerContext & {
  /** `user:NAME` or `dicom:TITLE`. */
  readonly actor: string;
};

export type ResultPage = {
  readonly matches: readonly JsonDataSet[];
  readonly remaining: { readonly count: number; readonly isAtLeast: boolean };
};

export type ImageQueries = {
  /** One page in a stable order. */
  page(query: ImageQuery, asked: AskedBy & { readonly limit: number; readonly offset: number }): Promise<ResultPage>;
  /** All matches. Whoever stops asking ends the query. */
  matches(query: ImageQuery, asked: AskedBy & { readonly signal: AbortSignal }): AsyncGenerator<JsonDataSet>;
};

export function createImageQueries({ database, clock }: { database: Database; clock: Clock }): ImageQueries {
  return {
    async page(query, { limit, offset, ...asked }) {
      const rows = await matchPage(database, query, { limit: limit + 1, offset });
      const shown = rows.slice(0, limit);
      const remaining = rows.length > limit ? await remainingAfter(query, offset + shown.length) : NONE_REMAIN;
      await audit(query, { ...asked, count: shown.length });
      return { matches: shown.map((row) => answerOf(query, row, asked)), remaining };
    },
    async *matches(query, { signal, ...asked }) {
      let count = 0;
      try {
        for (let after: MatchRow | undefined, isMore = true; isMore && !signal.aborted; ) {
          const rows = await matchPage(database, query, { limit: PAGE_COUNT, after });
          for (const row of rows) {
            if (signal.aborted) return;
            count += 1;
            yield answerOf(query, row, asked);
          }
          isMore = rows.length === PAGE_COUNT;
          after = rows.at(-1);
        }
      } finally {
        await audit(query, { ...asked, count });
      }
    },
  };

  async function remainingAfter(query: ImageQuery, shownCount: number): Promise<ResultPage['remaining']> {
    const countMax = shownCount + REMAINING_COUNT_MAX;
    const count = await countMatches(database, query, countMax);
    return { count: count - shownCount, isAtLeast: count === countMax };
  }

  async function audit(query: ImageQuery, { actor, count }: { actor: string; count: number }): Promise<void> {
    const keys = query.conditions.map((condition) =>
      condition.kind === 'date-time' ? condition.time.keyword : condition.attribute.keyword,
    );
    await database.transaction((tx) =>
      appendAudit(tx, {
        at: clock.now(),
        actor,
        action: 'images.find',
        object: 'images',
        outcome: 'success',
        details: { level: query.level, keys: [...new Set(keys)].join(' ').slice(0, KEYS_LENGTH_MAX), count },
      }),
    );
  }
}

const NONE_REMAIN = { count: 0, isAtLeast: false } as const;
