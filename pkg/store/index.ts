export { mergeChanges } from './batch.ts';
export type { Batch, Committed, Member, MemberStatus, Store } from './contract.ts';
export { runControlLoop } from './control-loop.ts';
export { DirtySet } from './dirty.ts';
export { isUnlockKey, LogKeys, needsUnlocking, newUnlockKey, unlocks } from './log-keys.ts';
export { Moment } from './moment.ts';
export { createStore } from './store.ts';
export { continueAlone } from './survivor.ts';
export type { Transport } from './transport.ts';
