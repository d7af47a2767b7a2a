export { decidePlacement } from './schedule.ts';
