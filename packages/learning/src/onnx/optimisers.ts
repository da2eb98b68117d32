/**
 * The optimiser steps as ONNX nodes, with PyTorch's formulas so that published settings carry over.
 *
 *   SGD    v <- momentum v + g                w <- w - lr v                     (v starts at 0; momentum 0 keeps no v)
 *   Adam   m <- b1 m + (1 - b1) g             v <- b2 v + (1 - b2) g^2          (Kingma & Ba 2015, Algorithm 1)
 *          w <- w - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)
 *
 * b^t is taken in float64: 1 - 0.999 in float32 would be wrong in its fifth digit.
 */
import type { Optimiser, TensorShape } from '@lantern/contract';
import { type GraphBuilder, int } from './graph-builder.ts';
import { ELEMENT_TYPES } from './model.ts';

export const NEXT = 'next.'; // prefix of an output that is fed back as the input of the rest of its name

/** The tensors an optimiser keeps between steps, all starting at zero: one or two per parameter. */
export function optimiserStateOf(optimiser: Optimiser, parameters: readonly TensorShape[]): TensorShape[] {
  return slotsOf(optimiser).flatMap((slot) =>
    parameters.map(({ name, shape }) => ({ name: `${slot}.${name}`, shape })),
  );
}

function slotsOf(optimiser: Optimiser): string[] {
  if (optimiser.kind === 'adam') return ['adam_m', 'adam_v'];
  return optimiser.momentum > 0 ? ['momentum'] : [];
}

/** Whether the step needs the input `step` (a scalar that counts from 1). */
export function needsStep(optimiser: Optimiser): boolean {
  return optimiser.kind === 'adam';
}

/** Adds outputs `next.<name>` for each parameter and each of its state tensors. `gradients`: parameter name -> value name. */
export function addOptimiserStep(
  builder: GraphBuilder,
  optimiser: Optimiser,
  gradients: ReadonlyMap<string, string>,
): void {
  if (optimiser.kind === 'sgd') {
    for (const [name, gradient] of gradients) addSgdStep(builder, { name, gradient, momentum: optimiser.momentum });
    return;
  }
  const unbias1 = biasCorrection(builder, optimiser.beta1);
  const unbias2 = biasCorrection(builder, optimiser.beta2);
  for (const [name, gradient] of gradients) {
    addAdamStep(builder, optimiser, { name, gradient, unbias1, unbias2 });
  }
}

function addSgdStep(
  builder: GraphBuilder,
  { name, gradient, momentum }: { name: string; gradient: string; momentum: number },
): void {
  const velocity =
    momentum === 0
      ? gradient
      : builder.node('Add', [builder.node('Mul', [`momentum.${name}`, builder.scalar(momentum)]), gradient], {
          output: `${NEXT}momentum.${name}`,
        });
  const step = builder.node('Mul', [velocity, 'learning_rate']);
  builder.node('Sub', [name, step], { output: `${NEXT}${name}` });
}

function addAdamStep(
  builder: GraphBuilder,
  { beta1, beta2, epsilon }: { beta1: number; beta2: number; epsilon: number },
  { name, gradient, unbias1, unbias2 }: { name: string; gradient: string; unbias1: string; unbias2: string },
): void {
  const square = builder.node('Mul', [gradient, gradient]);
  const m = movingMean(builder, { slot: `adam_m.${name}`, value: gradient, beta: beta1 });
  const v = movingMean(builder, { slot: `adam_v.${name}`, value: square, beta: beta2 });
  const root = builder.node('Sqrt', [builder.node('Div', [v, unbias2])]);
  const direction = builder.node('Div', [
    builder.node('Div', [m, unbias1]),
    builder.node('Add', [root, builder.scalar(epsilon)]),
  ]);
  const step = builder.node('Mul', [direction, 'learning_rate']);
  builder.node('Sub', [name, step], { output: `${NEXT}${name}` });
}

function movingMean(
  builder: GraphBuilder,
  { slot, value, beta }: { slot: string; value: string; beta: number },
): string {
  const kept = builder.node('Mul', [slot, builder.scalar(beta)]);
  const added = builder.node('Mul', [value, builder.scalar(1 - beta)]);
  return builder.node('Add', [kept, added], { output: `${NEXT}${slot}` });
}

/** 1 - beta^step */
function biasCorrection(builder: GraphBuilder, beta: number): string {
  const step = builder.node('Cast', ['step'], { attributes: { to: int(ELEMENT_TYPES.float64) } });
  const power = builder.node('Pow', [builder.scalar(beta, 'float64'), step]);
  const correction = builder.node('Sub', [builder.scalar(1, 'float64'), power]);
  return builder.node('Cast', [correction], { attributes: { to: int(ELEMENT_TYPES[builder.elementType]) } });
}
