export { explainPlacement, type PlacementExplanation } from './explain-placement.ts';
export { type Balance, balanceOf, decideRebalance } from './rebalance.ts';
export { decidePlacement } from './schedule.ts';
