import { type Model, refused } from './checker.ts';

/**
 * Objects with a unique name and a text that is only replaced by who knows the present one: what configs are, with the
 * version that a client read standing for the text it read. Every text is written at most once.
 */
export type RegisterInput =
  | { readonly kind: 'create'; readonly name: string; readonly text: string }
  | { readonly kind: 'read'; readonly name: string }
  | {
      readonly kind: 'swap';
      readonly name: string;
      readonly expected: string;
      readonly text: string;
    }
  /** Whatever the text is. */
  | { readonly kind: 'remove'; readonly name: string };

export type RegisterOutput =
  | { readonly kind: 'done' }
  /** The name is in use, or the text is not the expected one. */
  | { readonly kind: 'refused' }
  | { readonly kind: 'found'; readonly text: string }
  | { readonly kind: 'absent' };

type State = string | undefined;

/** @returns what it leaves, when it takes effect; `refused` when it cannot */
function effect(state: State, input: RegisterInput): State | typeof refused {
  if (input.kind === 'create') return state === undefined ? input.text : refused;
  if (input.kind === 'swap') return state === input.expected ? input.text : refused;
  if (input.kind === 'remove') return state === undefined ? refused : undefined;
  return state;
}

export const namedRegister: Model<State, RegisterInput, RegisterOutput> = {
  part: (input) => input.name,
  initial: undefined,
  step: (state, input, output) => {
    const after = effect(state, input);
    switch (output?.kind) {
      case undefined:
      case 'done':
        return input.kind === 'read' && output ? refused : after;
      case 'refused':
        return after === refused && input.kind !== 'remove' ? state : refused;
      case 'found':
        return input.kind === 'read' && state === output.text ? state : refused;
      case 'absent':
        return input.kind !== 'create' && state === undefined ? state : refused;
    }
  },
};
