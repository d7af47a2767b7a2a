import { expectTypeOf, test } from 'vitest';
import type { Engine as ApiEngine } from '../api/index.ts';
import type { Engine } from './engine.ts';

test('the API finds what it asks for', () => {
  expectTypeOf<Engine>().toExtend<ApiEngine>();
});
