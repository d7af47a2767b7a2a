export { decideAllocation } from './allocate.ts';
