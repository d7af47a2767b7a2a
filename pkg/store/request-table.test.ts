import { expect, test } from 'vitest';
import type { Version } from '../model/index.ts';
import { RequestTable } from './request-table.ts';

const MAX = 4;

function add(table: RequestTable, from: number, to: number): void {
  for (let index = from; index <= to; index++) table.add(`r${index}`, { index: index as Version });
}

function ids(table: RequestTable): readonly string[] {
  return table.rows().map(([id]) => id);
}

test('the newest outcomes stay, oldest first, however many there were', () => {
  const table = new RequestTable(MAX);
  for (let index = 1; index <= 5 * MAX; index++) {
    add(table, index, index);
    const first = Math.max(1, index - MAX + 1);
    const kept = Array.from({ length: index - first + 1 }, (_, at) => `r${first + at}`);
    expect(ids(table)).toEqual(kept);
    expect(table.floor).toBe(first - 1);
    expect(table.get(`r${first - 1}`)).toBeUndefined();
  }
});

test('a table from a snapshot forgets in the same order as the one it was taken of', () => {
  const table = new RequestTable(MAX);
  add(table, 1, 7);
  const copy = new RequestTable(MAX);
  copy.restore(table.floor, table.rows());
  for (const each of [table, copy]) add(each, 8, 10);
  expect(copy.rows()).toEqual(table.rows());
  expect(copy.floor).toBe(table.floor);
});
