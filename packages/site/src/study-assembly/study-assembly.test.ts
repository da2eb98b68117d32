import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { systemClock } from '@lantern/service';
import { OWN_AE, startTestImaging, type TestImaging, takeIn } from '../../test/imaging-harness.ts';
import { syntheticInstance } from '../../test/synthetic-images.ts';
import type { CompletedArrival } from './store.ts';

const START_MS = Date.UTC(2026, 10, 2, 9);
const QUIET_MS = 10_000;
let nowMs = START_MS;
let node: TestImaging;
const completed: CompletedArrival[] = [];
let followerFails = false;

before(async () => {
  node = await startTestImaging({
    name: 'study-assembly',
    clock: { ...systemClock, now: () => new Date(nowMs) },
    settings: {
      aeTitles: [
        { aeTitle: OWN_AE, quietMs: QUIET_MS, longestMs: 60_000 },
        { aeTitle: 'EXPECTS', quietMs: QUIET_MS, expectedSeriesCount: 2 },
        { aeTitle: 'JOINS', quietMs: QUIET_MS, late: 'join' },
      ],
    },
    followers: [
      async (_tx, arrival) => {
        if (followerFails) throw new TypeError('The follower fails.');
        completed.push(arrival);
      },
    ],
  });
});

after(async () => {
  await node?.close();
});

beforeEach(() => {
  completed.length = 0;
});

async function arrive(study: number, series: number, number: number, calledAe = OWN_AE): Promise<void> {
  const options = { calledAe, lateOpensRevision: calledAe !== 'JOINS' };
  await takeIn(node.imaging, syntheticInstance({ study, series, number }), options);
}

async function later(ms: number): Promise<void> {
  nowMs += ms;
  await node.sweep();
}

const ended = () =>
  completed.map(({ calledAe, studyInstanceUid, revision, completedBy }) => [
    calledAe,
    studyInstanceUid,
    revision,
    completedBy,
  ]);

describe('a study', () => {
  it('is complete once its title has been quiet, and not a moment before', async () => {
    await arrive(1, 1, 1);
    await later(QUIET_MS - 1);
    await arrive(1, 1, 2);
    await later(QUIET_MS - 1);
    assert.deepEqual(ended(), []);
    await later(1);
    assert.deepEqual(ended(), [[OWN_AE, '2.25.1.1', 1, 'quiet']]);
    await later(QUIET_MS);
    assert.equal(completed.length, 1);
  });

  it('that two titles were sent is complete for each of them', async () => {
    await arrive(2, 1, 1);
    await arrive(2, 1, 1, 'JOINS');
    await later(QUIET_MS);
    assert.deepEqual(ended(), [
      [OWN_AE, '2.25.1.2', 1, 'quiet'],
      ['JOINS', '2.25.1.2', 1, 'quiet'],
    ]);
  });

  it('is handed on again when an instance comes late, where its title says so', async () => {
    await arrive(3, 1, 1);
    await arrive(4, 1, 1, 'JOINS');
    await later(QUIET_MS);
    completed.length = 0;
    await arrive(3, 1, 1); // nothing new
    await arrive(4, 1, 2, 'JOINS');
    await later(QUIET_MS);
    assert.deepEqual(ended(), []);
    await arrive(3, 1, 2);
    await later(QUIET_MS);
    assert.deepEqual(ended(), [[OWN_AE, '2.25.1.3', 2, 'quiet']]);
  });

  it('is complete soon after its last expected series', async () => {
    await arrive(5, 1, 1, 'EXPECTS');
    await later(2000);
    assert.deepEqual(ended(), []);
    await arrive(5, 2, 1, 'EXPECTS');
    await later(1000);
    assert.deepEqual(ended(), [['EXPECTS', '2.25.1.5', 1, 'expected']]);
  });

  it('does not stay open for ever while instances keep coming', async () => {
    for (let number = 1; number <= 8; number += 1) {
      await arrive(6, 1, number);
      await later(QUIET_MS - 1);
    }
    assert.deepEqual(ended(), [[OWN_AE, '2.25.1.6', 1, 'deadline']]);
    await later(QUIET_MS);
    completed.length = 0;
  });

  it('stays open where what should follow it could not be written', async () => {
    await arrive(7, 1, 1);
    followerFails = true;
    await assert.rejects(later(QUIET_MS), TypeError);
    followerFails = false;
    await node.sweep();
    assert.deepEqual(ended(), [[OWN_AE, '2.25.1.7', 1, 'quiet']]);
  });
});
