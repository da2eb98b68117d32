import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createMetrics } from './metrics.ts';

describe('metrics', () => {
  it('are read as Prometheus text with the values recorded so far', async () => {
    const metrics = createMetrics('test');
    metrics.meter.createCounter('rounds', { description: 'rounds closed' }).add(3, { step: 'train' });
    assert.match(await metrics.text(), /^rounds_total\{step="train"[^}]*\} 3/m);
    await metrics.close();
  });
});
