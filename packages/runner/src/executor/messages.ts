/** What the executor and its worker process say to each other. Bulk data stays in files: only paths and results cross. */
import { ERROR_TABLE, type ErrorCode, type GraphManifest } from '@lantern/contract';
import { Type } from 'typebox';
import type { LocalTrainingRequest } from './local-training.ts';

export type TrainCall = LocalTrainingRequest & {
  readonly kind: 'train';
  readonly trainModelFile: string;
  readonly rowsFile: string;
  readonly oneClassAllowed: boolean;
};

export type PredictCall = {
  readonly kind: 'predict';
  readonly predictModelFile: string;
  readonly manifest: GraphManifest;
  readonly weightsFile: string;
  /** Rows in a file, or row-major features here. */
  readonly rows: { readonly file: string } | { readonly x: Float32Array };
};

export type WorkerCall = { readonly callId: number } & (TrainCall | PredictCall);

const errorCodes = Object.keys(ERROR_TABLE) as ErrorCode[];

/** An answer of the worker. It ran a stranger's graph, so what it says is parsed before it is believed. */
export const WorkerAnswerSchema = Type.Union([
  Type.Object({
    callId: Type.Integer(),
    kind: Type.Literal('trained'),
    stepCount: Type.Integer({ minimum: 1 }),
    meanLoss: Type.Number(),
    deltaNorm: Type.Number({ minimum: 0 }),
    clipped: Type.Boolean(),
  }),
  Type.Object({
    callId: Type.Integer(),
    kind: Type.Literal('predicted'),
    probabilities: Type.Unsafe<Float32Array>({}),
  }),
  Type.Object({
    callId: Type.Integer(),
    kind: Type.Literal('failed'),
    code: Type.Union(errorCodes.map((code) => Type.Literal(code))),
    message: Type.String(),
    cause: Type.Optional(Type.String()),
  }),
]);
