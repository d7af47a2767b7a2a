import { describe, expect, test } from 'vitest';
import { familiarName, parseReference, repositoryOf, withDefaultTag } from './reference.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;

describe('names are completed as Docker completes them', () => {
  test.each([
    ['nginx', 'docker.io/library/nginx', 'nginx:latest'],
    ['nginx:1.27', 'docker.io/library/nginx', 'nginx:1.27'],
    ['user/app', 'docker.io/user/app', 'user/app:latest'],
    ['docker.io/nginx', 'docker.io/library/nginx', 'nginx:latest'],
    ['index.docker.io/user/app:x', 'docker.io/user/app', 'user/app:x'],
    ['localhost/app', 'localhost/app', 'localhost/app:latest'],
    ['localhost:5000/a/b:1', 'localhost:5000/a/b', 'localhost:5000/a/b:1'],
    ['10.0.0.1:5000/x', '10.0.0.1:5000/x', '10.0.0.1:5000/x:latest'],
    [`nginx@${DIGEST}`, 'docker.io/library/nginx', `nginx@${DIGEST}`],
    [`nginx:1@${DIGEST}`, 'docker.io/library/nginx', `nginx:1@${DIGEST}`],
  ])('%s', (text, repository, familiar) => {
    const reference = withDefaultTag(parseReference(text));
    expect(repositoryOf(reference)).toBe(repository);
    expect(familiarName(reference)).toBe(familiar);
  });
});

test.each(['', 'a//b', 'nginx:', '-a', 'a:b:c', 'nginx@sha256:short', 'a/../b', '/x'])(
  'refuses %j',
  (text) => {
    expect(() => parseReference(text)).toThrow(/invalid reference format/);
  },
);

test('says that names are lower case', () => {
  expect(() => parseReference('user/App')).toThrow(
    'invalid reference format: repository name (user/App) must be lowercase',
  );
});
