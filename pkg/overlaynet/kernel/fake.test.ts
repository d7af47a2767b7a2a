import { describeConnectHooks } from './connect-contract.ts';
import { describeKernel } from './contract.ts';
import { FakeKernel } from './fake.ts';

describeKernel(new FakeKernel(), (name) => `/fake/${name}`);
describeConnectHooks(new FakeKernel(), '/fake');
