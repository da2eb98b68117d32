import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { viewportOf, windowOf } from './rendering-parameters.ts';

const invalid = { code: 'input.invalid' };

describe('a window', () => {
  it('is center, width and function', () => {
    assert.deepEqual(windowOf('-600, 1500,LINEAR'), { center: -600, width: 1500, shape: 'LINEAR' });
    assert.deepEqual(windowOf('40.5,0.5,linear-exact'), { center: 40.5, width: 0.5, shape: 'LINEAR_EXACT' });
    assert.deepEqual(windowOf('1e3,2,sigmoid'), { center: 1000, width: 2, shape: 'SIGMOID' });
  });

  it('is refused otherwise', () => {
    for (const text of [
      '',
      '1,2',
      '1,2,3',
      '1,2,linear,4',
      'a,2,linear',
      '1,0.5,linear',
      '1,0,sigmoid',
      '1,-2,sigmoid',
      '1,2e999,linear',
    ]) {
      assert.throws(() => windowOf(text), invalid, text);
    }
  });
});

describe('a viewport', () => {
  it('is a size, and the region that it shows, of which any part may be left out', () => {
    assert.deepEqual(viewportOf('512,256'), { columns: 512, rows: 256 });
    assert.deepEqual(viewportOf('512,256,10.5,0,-100,20'), {
      columns: 512,
      rows: 256,
      region: { x: 10.5, y: 0, columns: -100, rows: 20 },
    });
    assert.deepEqual(viewportOf('512,256,,3,,'), { columns: 512, rows: 256, region: { y: 3 } });
  });

  it('is refused otherwise', () => {
    for (const text of ['', '512', '512,', '0,5', '1.5,5', '9000,5', '5,5,5', '5,5,0,0,0,5', '5,5,a,0,1,1']) {
      assert.throws(() => viewportOf(text), invalid, text);
    }
  });
});
