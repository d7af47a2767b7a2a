import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { describeKernel } from './contract.ts';
import { linuxKernel } from './linux.ts';

const folder = mkdtempSync(join(tmpdir(), 'overlaynet-'));
afterAll(() => rmSync(folder, { recursive: true }));

describeKernel(linuxKernel, (name) => join(folder, name));
