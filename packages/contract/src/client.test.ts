import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createApiClient, type TransportRequest } from './client.ts';
import { HUB_API } from './hub-api.ts';
import { idFromBytes } from './ids.ts';

const projectId = idFromBytes('ProjectId', new Uint8Array(15).fill(9));
const runId = idFromBytes('RunId', new Uint8Array(15).fill(5));

function recording(answer: unknown): { requests: TransportRequest[]; api: ReturnType<typeof createApiClient> } {
  const requests: TransportRequest[] = [];
  const api = createApiClient((request) => {
    requests.push(request);
    return Promise.resolve(answer);
  });
  return { requests, api };
}

describe('the typed client', () => {
  it('fills the path, adds the query and sends the body', async () => {
    const { requests, api } = recording({ runs: [] });
    assert.deepEqual(await api.call(HUB_API.listRuns, { params: { projectId } }), { runs: [] });
    await assert.rejects(api.call(HUB_API.readRun, { params: { runId }, query: { waitMs: 1500 } }));
    assert.deepEqual(
      requests.map((request) => `${request.method} ${request.path}`),
      [`GET /api/v1/projects/${projectId}/runs`, `GET /api/v1/runs/${runId}?waitMs=1500`],
    );
  });

  it('does not believe an answer that breaks its schema', async () => {
    const { api } = recording({ runs: [{ state: 'completed' }] });
    await assert.rejects(api.call(HUB_API.listRuns, { params: { projectId } }), /Answer of GET .* field \/runs\/0/);
  });

  it('encodes a parameter so that it cannot leave its place in the path', async () => {
    const { requests, api } = recording({ runs: [] });
    const hostile = '../../users' as typeof projectId;
    await api.call(HUB_API.listRuns, { params: { projectId: hostile } });
    assert.equal(requests[0]?.path, '/api/v1/projects/..%2F..%2Fusers/runs');
  });
});
