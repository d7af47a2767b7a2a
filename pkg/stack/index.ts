export type { External } from './convert-objects.ts';
export { type LoadOptions, loadStack, type Stack } from './load.ts';
export type { StackFile } from './parse.ts';
export { STACK_LABEL } from './scope.ts';
