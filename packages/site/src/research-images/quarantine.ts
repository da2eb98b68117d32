/**
 * What de-identification held back, for a person to decide: QUARANTINE_STATES of the contract. A reason is a word of a closed list and
 * never a value of the object. A decision is for the content, in every collection and for ever: the same is never asked twice.
 */
import {
  AppError,
  type EventOf,
  nextState,
  type PixelStatement,
  QUARANTINE_STATES,
  type QuarantineDetail,
  type Quarantined,
  type QuarantineId,
  type QuarantineState,
  transition,
} from '@lantern/contract';
import {
  DicomError,
  openFileSource,
  openPixels,
  pngOf,
  readPart10,
  render,
  yieldsToPixelDecision,
} from '@lantern/dicom';
import { type Clock, type Database, type Tx, transactionOf } from '@lantern/service';
import { fromDicomError } from '../dicom-fault.ts';
import type { StoredStudies } from '../image-selection/stored-study.ts';
import { audit } from '../site-context.ts';
import type { SiteTables } from '../tables.ts';
import { askForStudy } from './copy-jobs.ts';
import * as rows from './quarantine-store.ts';
import type { SignedReleases } from './signed-release.ts';
import { findReport, type ResearchTables } from './store.ts';

const PAGE_COUNT = 200;

export type Quarantine = ReturnType<typeof createQuarantine>;

type QuarantineDeps = {
  readonly database: Database;
  readonly clock: Clock;
  readonly stored: StoredStudies;
  readonly releases: SignedReleases;
};

export function createQuarantine(deps: QuarantineDeps) {
  const db = deps.database.kysely<rows.QuarantineTables>();
  return {
    async list(state: QuarantineState | undefined, after = '') {
      const found = await rows.listQuarantined(db, { state, after, limit: PAGE_COUNT });
      const items = await Promise.all(found.map((row) => shown(deps, row)));
      const last = found.at(-1);
      return last === undefined || found.length < PAGE_COUNT ? { items } : { items, next: last.quarantine_id };
    },

    async read(quarantineId: QuarantineId): Promise<QuarantineDetail> {
      const row = await required(db, quarantineId);
      const digest = row.report_digest;
      const planned = digest === null ? undefined : await findReport(deps.database.kysely<ResearchTables>(), digest);
      const item = await shown(deps, row);
      const sameContentCount = await rows.countContent(db, row.content_digest);
      return planned === undefined
        ? { item, sameContentCount }
        : {
            item,
            sameContentCount,
            planned: { ...planned, methodCodes: [...planned.methodCodes], entries: [...planned.entries] },
          };
    },

    /** A frame as PNG, from 1, as it stands in the archive. Throws `input.unsupported` where no codec reads it. */
    async rendered(quarantineId: QuarantineId, frame: number, by: string): Promise<Buffer> {
      const row = await required(db, quarantineId);
      const png = pictureOf(deps.stored.pathOf(await deps.stored.instance(row.instance_key)), frame);
      await deps.database.transaction((tx: Tx<SiteTables>) =>
        audit(deps, tx, {
          actor: `user:${by}`,
          action: 'image-quarantine.look',
          object: quarantineId,
          details: { frame },
        }),
      );
      return png;
    },

    release: (quarantineId: QuarantineId, statement: PixelStatement, by: string) =>
      decide(deps, quarantineId, { event: 'release', statement, by }),

    refuse: (quarantineId: QuarantineId, by: string) =>
      decide(deps, quarantineId, { event: 'refuse', statement: null, by }),
  };
}

type Decision = {
  readonly event: Exclude<EventOf<typeof QUARANTINE_STATES>, 'hold'>;
  readonly statement: PixelStatement | null;
  readonly by: string;
};

async function decide(deps: QuarantineDeps, quarantineId: QuarantineId, decision: Decision): Promise<Quarantined> {
  const { event, statement, by } = decision;
  let content = '';
  const decided = await deps.database.transaction(async (tx: Tx<rows.QuarantineTables>) => {
    const asked = await required(tx, quarantineId);
    const same = await rows.lockContent(tx, asked.content_digest);
    const row = found(same.find((one) => one.quarantine_id === quarantineId));
    const state = transition(QUARANTINE_STATES, { what: 'image', state: row.state, event });
    if (event === 'release' && !yieldsToPixelDecision(row.reasons))
      throw new AppError('policy.refused', 'A word on the pixels does not help here: this image can only be refused.');
    const concerned = same.filter((one) => isConcerned(one, event));
    const at = deps.clock.now();
    content = row.content_digest.toString('hex');
    const release = statement === null ? null : deps.releases.sign({ contentDigest: content, statement, by, at });
    await rows.setDecision(
      tx,
      concerned.map((one) => one.quarantine_id),
      { state, by, at, statement, release },
    );
    for (const one of concerned) await askForStudy(tx, { collectionId: one.collection_id, studyKey: one.study_key });
    await audit(deps, transactionOf<SiteTables>(tx), {
      actor: `user:${by}`,
      action: `image-quarantine.${event}`,
      object: quarantineId,
      details: {
        sameContentCount: concerned.length,
        reasons: row.reasons.join(' '),
        content,
        ...statementDetails(statement),
      },
    });
    return shown(deps, await required(tx, quarantineId));
  });
  if (event === 'refuse') deps.releases.refused(content);
  return decided;
}

function isConcerned({ state, reasons }: rows.QuarantineRow, event: Decision['event']): boolean {
  return (
    nextState(QUARANTINE_STATES, state, event) !== undefined && (event === 'refuse' || yieldsToPixelDecision(reasons))
  );
}

function statementDetails(statement: PixelStatement | null): Record<string, string> {
  if (statement === null) return {};
  const regions = statement.kind === 'regions' ? statement.regions : [];
  return {
    statement: statement.kind,
    ...(regions.length === 0
      ? {}
      : { regions: regions.map(({ x, y, width, height }) => `${x},${y},${width},${height}`).join(' ') }),
  };
}

async function shown({ stored }: QuarantineDeps, row: rows.QuarantineRow): Promise<Quarantined> {
  const { modality, rows: rowCount, columns, frameCount } = await stored.instance(row.instance_key);
  return {
    quarantineId: row.quarantine_id,
    collectionId: row.collection_id,
    studyKey: row.study_key,
    state: row.state,
    reasons: row.reasons,
    releasable: yieldsToPixelDecision(row.reasons),
    modality,
    frameCount: frameCount ?? 1,
    heldAt: row.held_at.toISOString(),
    ...(rowCount === null ? {} : { rows: rowCount }),
    ...(columns === null ? {} : { columns }),
    ...(row.decided_by === null ? {} : { decidedBy: row.decided_by }),
    ...(row.decided_at === null ? {} : { decidedAt: row.decided_at.toISOString() }),
    ...(row.statement === null ? {} : { statement: row.statement }),
  };
}

async function required(db: rows.QuarantineDb, quarantineId: QuarantineId): Promise<rows.QuarantineRow> {
  return found(await rows.findQuarantined(db, quarantineId));
}

function found(row: rows.QuarantineRow | undefined): rows.QuarantineRow {
  if (row === undefined) throw new AppError('not-found', 'There is no such image in quarantine.');
  return row;
}

function pictureOf(path: string, frame: number): Buffer {
  const source = openFileSource(path);
  try {
    const object = readPart10(source);
    const pixels = openPixels(object);
    if (frame > pixels.description.frameCount)
      throw new AppError('input.invalid', 'frame: the image has fewer.', { field: 'frame' });
    return pngOf(render(pixels, { ...object, frameIndex: frame - 1 }));
  } catch (caught) {
    if (caught instanceof DicomError) throw fromDicomError(caught);
    throw caught;
  } finally {
    source.close();
  }
}
