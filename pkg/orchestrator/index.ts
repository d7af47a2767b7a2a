export { decideConstraints } from './constraint-enforcer.ts';
export { decideNodes } from './node-lifecycle.ts';
export { decideServices } from './services.ts';
export { decideReaping } from './task-reaper.ts';
