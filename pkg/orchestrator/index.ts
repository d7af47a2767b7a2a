export { decideConstraints } from './constraint-enforcer.ts';
export { explainSlot, explainWorkload } from './explain.ts';
export { decideNodes } from './node-lifecycle.ts';
export { decideServices } from './services.ts';
export { decideReaping } from './task-reaper.ts';
export { decideVolumes } from './volume.ts';
