import type { Mutant } from '../plant.ts';

export const MUTANTS: readonly Mutant[] = [];

/** Few seeds find these. */
export const EASY: readonly string[] = [];
