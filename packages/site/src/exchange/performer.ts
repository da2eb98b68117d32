/** What it takes to answer a task: given to the exchange by `main.ts`, so that the exchange knows nothing of rows. */
import type { AnswerBody, Digest, SiteTask } from '@lantern/contract';
import type { Refusal } from '../governance/policy.ts';
import type { SiteTx } from '../tables.ts';
import type { AnswerFile } from './answer.ts';

export type Performed = {
  readonly body: AnswerBody;
  /** The decision under which this was done; absent where none was needed. */
  readonly decisionDigest?: Digest;
  /** Of a question, as the budget charges it: the same for one that is only worded otherwise. */
  readonly wording?: string;
  /** Files that must be at the hub before the answer. */
  readonly files?: readonly AnswerFile[];
  /** Written in the transaction that stores the answer. */
  readonly onStored?: (tx: SiteTx) => Promise<void>;
};

export type Performer = {
  /** Refusals are answers; what it throws is retried when transient and answered as `failed` otherwise. */
  readonly perform: (task: SiteTask, signal: AbortSignal) => Promise<Performed>;
  /** May the answer still leave? Asked just before it does. */
  readonly recheck: (task: SiteTask) => Promise<Refusal | undefined>;
};
