import { expect, test } from 'vitest';
import { claimGeneric, genericEnvironment, parseGenericResources } from './generic-resource.ts';

test('what a node offers is a number or names of each kind', () => {
  expect(parseGenericResources('gpu=a, gpu=b,fpga=4')).toEqual([
    { kind: 'gpu', amount: 2, names: ['a', 'b'] },
    { kind: 'fpga', amount: 4 },
  ]);
  expect(parseGenericResources('')).toEqual([]);
});

test.each(['gpu', 'gpu=', '=2', 'gpu=1,gpu=a', 'gpu=-1', 'gpu=1,gpu=2'])(
  '%s is refused',
  (text) => {
    expect(() => parseGenericResources(text)).toThrow(/generic resource/);
  },
);

test('the first free names are taken, and not more than there are', () => {
  const offered = parseGenericResources('gpu=a,gpu=b,gpu=c,fpga=2');
  const held = [
    { kind: 'gpu', amount: 1, names: ['a'] },
    { kind: 'fpga', amount: 1 },
  ];
  const claims = claimGeneric(offered, held, [
    { kind: 'gpu', amount: 1 },
    { kind: 'fpga', amount: 1 },
  ]);
  expect(claims).toEqual([
    { kind: 'gpu', amount: 1, names: ['b'] },
    { kind: 'fpga', amount: 1 },
  ]);
  expect(genericEnvironment(claims ?? [])).toEqual([
    'DOCKER_RESOURCE_GPU=b',
    'DOCKER_RESOURCE_FPGA=1',
  ]);
  expect(claimGeneric(offered, held, [{ kind: 'fpga', amount: 2 }])).toBeUndefined();
  expect(claimGeneric(offered, [], [{ kind: 'tpu', amount: 1 }])).toBeUndefined();
});
