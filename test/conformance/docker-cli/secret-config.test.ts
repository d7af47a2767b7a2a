import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Setup, setUp } from './setup.ts';

let setup: Setup;
beforeAll(async () => {
  setup = await setUp();
});
afterAll(async () => {
  await setup[Symbol.asyncDispose]();
});

test.each(['secret', 'config'])('a %s is created, listed, inspected and removed', async (kind) => {
  const { docker } = setup;
  const id = await docker.run([kind, 'create', '--label', 'a=b', 'one', '-'], { input: 'data' });
  expect(id).toMatch(/^[0-9a-z]{25}$/);
  expect(await docker.run([kind, 'ls', '-f', 'name=on', '--format', '{{.Name}}'])).toBe('one');
  expect(await docker.run([kind, 'inspect', 'one', '--format', '{{.ID}} {{.Spec.Labels.a}}'])).toBe(
    `${id} b`,
  );
  const again = await docker.try([kind, 'create', 'one', '-'], { input: 'data' });
  expect(again.stderr).toContain(`${kind} one already exists`);
  await docker.run([kind, 'rm', id]);
  expect(await docker.run([kind, 'ls', '-q'])).toBe('');
  const gone = await docker.try([kind, 'inspect', 'one']);
  expect(gone.stderr).toContain(`${kind} one not found`);
});

test('a config shows its data, a secret never does', async () => {
  const { docker } = setup;
  await docker.run(['config', 'create', 'page', '-'], { input: 'hello' });
  await docker.run(['secret', 'create', 'key', '-'], { input: 'hello' });
  expect(await docker.run(['config', 'inspect', 'page', '--pretty'])).toContain('hello');
  expect(await docker.run(['secret', 'inspect', 'key'])).not.toContain('Data');
});

test('data above the limit is refused', async () => {
  const { docker } = setup;
  const refused = await docker.try(['secret', 'create', 'big', '-'], {
    input: 'x'.repeat(512_000),
  });
  expect(refused.stderr).toContain('secret data must be larger than 0 and less than 512000 bytes');
  await docker.run(['config', 'create', 'big', '-'], { input: 'x'.repeat(1_000_000) });
});
