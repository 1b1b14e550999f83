/** Loaded before a command of `infra/cli/`: reports the peak memory of its process on file descriptor 3. */
import { writeSync } from 'node:fs';
import { peakBytes } from './invocation.ts';

process.on('exit', () => {
  writeSync(3, String(peakBytes()));
});
