import { constants } from 'node:os';
import { RuntimeError } from './runtime.ts';

/** 9, '9', 'KILL', 'SIGKILL', 'RTMIN+3' → 9. Throws `invalid` in Docker's words. */
export function signalNumber(signal: number | string): number {
  if (typeof signal === 'number' || /^\d+$/.test(signal)) {
    const value = Number(signal);
    if (Number.isInteger(value) && value > 0 && value < 65) return value;
    throw new RuntimeError('invalid', `Invalid signal: ${signal}`);
  }
  const name = signal.toUpperCase().replace(/^SIG/, '');
  const realtime = /^RT(MIN\+|MAX-)(\d+)$/.exec(name);
  if (realtime) {
    const offset = Number(realtime[2]);
    return signalNumber(realtime[1] === 'MIN+' ? 34 + offset : 64 - offset);
  }
  const table: Readonly<Record<string, number>> = constants.signals;
  const value = table[`SIG${name}`];
  if (value === undefined) throw new RuntimeError('invalid', `Invalid signal: ${signal}`);
  return value;
}
