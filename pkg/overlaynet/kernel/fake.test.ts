import { describeKernel } from './contract.ts';
import { FakeKernel } from './fake.ts';

describeKernel(new FakeKernel(), (name) => `/fake/${name}`);
