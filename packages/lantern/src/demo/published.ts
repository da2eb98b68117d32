/**
 * What others published for these data, to compare with. NVFLARE's hello-lr: accuracy and precision per centre after
 * Newton-Raphson. FLamby (arXiv:2210.04620): accuracy on the pooled test set, mean over five seeds.
 */
import type { Hospital } from './fixtures.ts';

export const HELLO_LR: Readonly<Record<Hospital['key'], { accuracy: number; precision: number }>> = {
  cleveland: { accuracy: 0.75, precision: 0.7115384615384616 },
  hungarian: { accuracy: 0.7528089887640449, precision: 0.6122448979591837 },
  switzerland: { accuracy: 0.75, precision: 1 },
  va: { accuracy: 0.6, precision: 0.9047619047619048 },
};

export const FLAMBY_POOLED_TEST_ACCURACY = { pooledTraining: 0.795, fedAdam: 0.779, fedAvg: 0.748 } as const;
