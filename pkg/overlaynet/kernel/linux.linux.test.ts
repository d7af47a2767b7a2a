import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll } from 'vitest';
import { must } from '../../model/index.ts';
import { cgroupAt } from '../testing/cgroup.ts';
import { describeConnectHooks } from './connect-contract.ts';
import { describeKernel } from './contract.ts';
import { linuxKernel } from './linux.ts';

const folder = mkdtempSync(join(tmpdir(), 'overlaynet-'));
afterAll(() => rmSync(folder, { recursive: true }));

describeKernel(linuxKernel, (name) => join(folder, name));
describeConnectHooks(linuxKernel, must(cgroupAt(`muster-${basename(folder)}`), 'a v2 tree'));
