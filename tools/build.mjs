/**
 * Builds what runs: the C init helper and one bundle per program in dist/. Checking types is `npm run ok`.
 * One bundle per program, since start-up is felt: Node reads one file instead of a few hundred.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync } from 'node:fs';
import { basename } from 'node:path';
import { build } from 'esbuild';

const banner = [
  "import { createRequire as __createRequire } from 'node:module';",
  'const require = __createRequire(import.meta.url);',
].join('\n');

execFileSync('make', ['-s', '-C', 'pkg/runtime/init'], { stdio: 'inherit' });
mkdirSync('dist', { recursive: true });
await Promise.all(
  ['cmd/manager', 'cmd/agent', 'cmd/ctl', 'deploy/lab']
    .map((folder) => [folder, basename(folder)])
    .map(([folder, program]) =>
      build({
        entryPoints: [`${folder}/main.ts`],
        outfile: `dist/${program}.js`,
        bundle: true,
        platform: 'node',
        target: 'node20',
        format: 'esm',
        conditions: ['source'],
        // koffi loads a native library that lies beside its own files.
        external: ['koffi'],
        sourcemap: 'linked',
        legalComments: 'none',
        logLevel: 'warning',
        banner: { js: program === 'ctl' ? `#!/usr/bin/env node\n${banner}` : banner },
      }),
    ),
);
chmodSync('dist/ctl.js', 0o755);
