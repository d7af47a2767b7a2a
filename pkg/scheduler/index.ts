export { explainPlacement, type PlacementExplanation } from './explain-placement.ts';
export { decidePlacement } from './schedule.ts';
