/** Prints the closing line of a test run, `N passed, N failed[, N skipped]`, and exits non-zero unless all is well. */
import { readFileSync } from 'node:fs';

const [file, status] = process.argv.slice(2);
let report;
try {
  report = JSON.parse(readFileSync(file, 'utf8'));
} catch {
  console.log('the test runner left no report\n0 passed, 1 failed');
  process.exit(1);
}
// A file that cannot even be loaded has no failed test of its own.
const broken = report.testResults.filter(
  (result) =>
    result.status === 'failed' && result.assertionResults.every((test) => test.status !== 'failed'),
);
for (const result of report.testResults) {
  for (const test of result.assertionResults) {
    if (test.status === 'failed') console.log(`FAILED ${result.name}: ${test.fullName}`);
  }
}
for (const result of broken) console.log(`FAILED ${result.name}: ${result.message}`);
const failed = report.numFailedTests + broken.length;
const skipped = report.numPendingTests + report.numTodoTests;
const failedAnyway = failed === 0 && Number(status) !== 0 ? 1 : 0;
if (failedAnyway) console.log(`FAILED the test runner exited with ${status}`);
console.log(
  `${report.numPassedTests} passed, ${failed + failedAnyway} failed${skipped ? `, ${skipped} skipped` : ''}`,
);
process.exit(failed + failedAnyway > 0 || report.numPassedTests === 0 ? 1 : 0);
