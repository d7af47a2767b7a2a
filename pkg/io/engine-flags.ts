import { setFlagsFromString } from 'node:v8';

/** Bytes of bytecode that a function runs before V8 asks whether to optimise it; V8's own number is 67,584. */
const INTERRUPT_BUDGET = 2_000_000;

/**
 * V8's settings for a program that mostly waits and must answer at once when something happens, beside containers that use
 * all processors. To be called first; it is for the whole process.
 *
 * - Functions are optimised once they are really hot. With V8's own measure the optimising compiler works on whatever ran a
 *   few hundred times: 1.6 s of a processor in the first three minutes of an agent. A loop over 5,000 services
 *   still gets there in 8 ms (5 by V8's measure).
 * - A collection of young garbage is done by the main thread alone. Its helpers need a processor each; while
 *   they wait for one, the main thread waits for them.
 */
export function waitAndAnswer(): void {
  setFlagsFromString(`--interrupt-budget=${INTERRUPT_BUDGET}`);
  setFlagsFromString('--no-parallel-scavenge');
}
