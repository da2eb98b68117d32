import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { AppError, type ModelSpec } from '@lantern/contract';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { checkGraph } from './graph-rules.ts';
import type { Graph, GraphNode, OnnxModel } from './model.ts';
import { decodeModel } from './model-reader.ts';
import { encodeModel } from './model-writer.ts';
import { buildTrainingGraph } from './training-graph.ts';

process.env['ORT_DISABLE_TELEMETRY'] = '1'; // read when the first session is made: a test talks to nobody

const vector = (name: string) => Uint8Array.from(readFileSync(new URL(`../../test/vectors/${name}`, import.meta.url)));

const SPEC: ModelSpec = {
  featureCount: 3,
  layers: [{ kind: 'dense', units: 2, bias: true }, { kind: 'tanh' }, { kind: 'dense', units: 2, bias: false }],
  loss: 'softmax-cross-entropy',
  optimiser: { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
  batchSize: 4,
  proximal: true,
  control: true,
};

function refused(bytes: Uint8Array, rule: RegExp, options?: Parameters<typeof checkGraph>[1]): void {
  assert.throws(
    () => checkGraph(bytes, options),
    (error) => error instanceof AppError && error.code === 'bundle.invalid' && rule.test(error.message),
    String(rule),
  );
}

const add = (inputs: string[], outputs: string[], opType = 'Add'): GraphNode => ({
  opType,
  inputs,
  outputs,
  attributes: {},
});

/** A small valid model, with parts replaced. */
function model(graph: Partial<Graph>, head: Partial<OnnxModel> = {}): Uint8Array {
  const value = (name: string) => ({ name, elementType: 'float32', shape: [2] }) as const;
  return encodeModel({
    irVersion: 8,
    opsetVersion: 17,
    graph: {
      name: 'g',
      nodes: [add(['x', 'x'], ['y'])],
      initialisers: [],
      inputs: [value('x')],
      outputs: [value('y')],
      ...graph,
    },
    ...head,
  });
}

test('the graphs of our own builder pass, with exactly the ends the specification declares', () => {
  const graph = buildTrainingGraph(SPEC);
  const summary = checkGraph(graph.trainModel);
  assert.equal(summary.opsetVersion, 17);
  assert.equal(summary.inputs.length, 5 + 3 * 3 + 3 + 1 + 3); // ends, weights with two moments, global and mu, correction
  assert.equal(summary.operators['Gemm'], 4); // two layers forward, their weights backward
  const declared = {
    inputs: [{ name: 'x', shape: [-1, 3] }, ...graph.parameters],
    outputs: [{ name: 'probability', shape: [-1, 2] }],
  };
  checkGraph(graph.predictModel, { declared });
  const wrong = (inputs: { name: string; shape: number[] }[], rule: RegExp) =>
    refused(graph.predictModel, rule, { declared: { inputs } });
  wrong(declared.inputs.slice(1), /input x is not declared/);
  wrong([...declared.inputs, { name: 'z', shape: [1] }], /input z is missing/);
  wrong([{ name: 'x', shape: [4, 3] }, ...graph.parameters], /input x is not float32 \[4,3\]/);
  wrong([{ name: 'x', shape: [-1, 3, 1] }, ...graph.parameters], /input x is not/);
});

test('what is written is read back as the same data, every kind of attribute included', () => {
  const attributes: GraphNode['attributes'] = {
    alpha: { kind: 'float', value: 0.25 },
    axis: { kind: 'int', value: -1 },
    mode: { kind: 'string', value: 'linéaire' },
    perm: { kind: 'ints', values: [1, 0, -3] },
    scales: { kind: 'floats', values: [1.5, -2] },
    value: { kind: 'tensor', tensor: { name: 't', elementType: 'int64', shape: [1], raw: new Uint8Array(8) } },
  };
  const written: OnnxModel = {
    irVersion: 8,
    opsetVersion: 17,
    graph: {
      name: 'g',
      nodes: [{ opType: 'Mish', inputs: ['x', '', 'w'], outputs: ['y'], attributes }],
      initialisers: [{ name: 'w', elementType: 'float32', shape: [2, 1], raw: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) }],
      inputs: [{ name: 'x', elementType: 'float64', shape: ['rows', 300] }],
      outputs: [{ name: 'y', elementType: 'bool', shape: [] }],
    },
  };
  assert.deepEqual(decodeModel(encodeModel(written)), written);
});

test('a graph written by the onnx package passes, means the same here, and runs the same after a round trip', async () => {
  const bytes = vector('stranger.onnx');
  const summary = checkGraph(bytes, {
    declared: { inputs: [{ name: 'x', shape: [-1, 2] }], outputs: [{ name: 'p', shape: [-1, 1] }] },
  });
  assert.equal(summary.nodeCount, 8);
  const decoded = decodeModel(bytes);
  assert.deepEqual(decoded.graph.nodes[1]?.attributes, { alpha: { kind: 'float', value: Math.fround(0.2) } });
  assert.deepEqual(decoded.graph.nodes[4]?.attributes, { perm: { kind: 'ints', values: [1, 0] } });
  const weights = decoded.graph.initialisers[0]?.raw.slice() ?? new Uint8Array();
  assert.deepEqual(new Float32Array(weights.buffer), Float32Array.of(0.5, -1.25));
  const x = new Tensor('float32', Float32Array.of(0.3, 2, -4, 0.7), [2, 2]);
  const outputs = await Promise.all(
    [bytes, encodeModel(decoded)].map(async (each) => {
      const session = await InferenceSession.create(each);
      const { p } = await session.run({ x });
      await session.release();
      return p?.data;
    }),
  );
  assert.deepEqual(outputs[0], outputs[1]);
  const z = 0.3 * 0.5 - 2 * 1.25;
  assert.ok(Math.abs(Number(outputs[0]?.[0]) - 0.5 / (1 + Math.exp(-0.2 * z))) < 1e-7);
});

test('numbers in typed fields are read as the raw bytes would be', () => {
  const { initialisers } = decodeModel(vector('typed-data.onnx')).graph;
  const raw = (index: number) => initialisers[index]?.raw.slice().buffer ?? new ArrayBuffer();
  assert.deepEqual(new Float64Array(raw(0)), Float64Array.of(0.1, -1e300));
  assert.deepEqual(new Uint8Array(raw(1)), Uint8Array.of(1, 0, 1));
  assert.deepEqual(new Int32Array(raw(2)), Int32Array.of(-7, 2 ** 31 - 1));
});

test('loops, functions and data in other files are refused by name', () => {
  refused(vector('loop.onnx'), /subgraphs in attributes/);
  refused(vector('external.onnx'), /external data/);
  refused(vector('function.onnx'), /functions|domain/);
});

test('operators that branch, draw random numbers, or make much from little are refused', () => {
  for (const opType of ['If', 'Scan', 'RandomNormal', 'Expand', 'Tile', 'Range', 'ConstantOfShape', 'SequenceAt', '']) {
    refused(model({ nodes: [add(['x', 'x'], ['y'], opType)] }), /operator .* is not allowed/);
  }
});

test('values used before they are made, made twice, or never made are refused', () => {
  refused(model({ nodes: [add(['x', 'later'], ['y'])] }), /value later is used before it is made/);
  refused(model({ nodes: [add(['y', 'x'], ['y'])] }), /value y is used before/);
  refused(model({ nodes: [add(['x', 'x'], ['y']), add(['x', 'x'], ['y'])] }), /value y is made twice/);
  refused(model({ nodes: [add(['x', 'x'], ['x'])] }), /value x is made twice/);
  refused(model({ nodes: [add(['x', 'x'], ['other'])] }), /output y is not made/);
  refused(model({ nodes: [] }), /no node/);
});

test('each limit refuses the first graph beyond it', () => {
  const bytes = model({ nodes: [add(['x', 'x'], ['z']), add(['z', 'x'], ['y'])] });
  checkGraph(bytes, { limits: { nodeCountMax: 2, sizeBytesMax: bytes.byteLength } });
  refused(bytes, /more than 1 nodes/, { limits: { nodeCountMax: 1 } });
  refused(bytes, /larger than/, { limits: { sizeBytesMax: bytes.byteLength - 1 } });
  const initialisers = [{ name: 'w', elementType: 'float32', shape: [2], raw: new Uint8Array(8) }] as const;
  refused(model({ initialisers }), /initialisers above 7/, { limits: { initialiserBytesMax: 7 } });
  refused(model({ outputs: [{ name: 'y', elementType: 'float32', shape: [1, 1, 1] }] }), /y has more than 2/, {
    limits: { rankMax: 2 },
  });
  refused(model({ nodes: [add(['x', 'x'], ['y']), add(['x', 'x'], ['long'])] }), /too long/, {
    limits: { nameLengthMax: 3 },
  });
});

test('other operator sets, IR versions and tensors that do not fill their shape are refused', () => {
  refused(model({}, { opsetVersion: 16 }), /operator set 16/);
  refused(model({}, { opsetVersion: 40 }), /operator set 40/);
  refused(model({}, { irVersion: 3 }), /IR version 3/);
  const short = [{ name: 'w', elementType: 'float32', shape: [3], raw: new Uint8Array(8) }] as const;
  refused(model({ initialisers: short }), /tensor w has a length/);
  const huge = [{ name: 'w', elementType: 'float32', shape: [2 ** 50, 2 ** 50], raw: new Uint8Array(8) }] as const;
  refused(model({ initialisers: huge }), /tensor w has a length/);
});

test('bytes that are not ONNX, cut short or altered are refused or harmless, and never anything else', () => {
  refused(new Uint8Array(), /no graph|exactly one operator set/);
  refused(new TextEncoder().encode('{"not": "protobuf"}'), /./);
  refused(Uint8Array.of(0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01), /longer than its message/);
  refused(
    Uint8Array.of(0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01),
    /longer than 10 bytes/,
  );
  const original = vector('stranger.onnx');
  for (let at = 0; at < original.byteLength; at += 1) {
    const altered = Uint8Array.from(original);
    altered[at] = (altered[at] ?? 0) ^ 0x1b;
    for (const bytes of [original.subarray(0, at), altered]) {
      try {
        checkGraph(bytes);
      } catch (error) {
        assert.ok(error instanceof AppError && error.code === 'bundle.invalid', String(error));
      }
    }
  }
});
