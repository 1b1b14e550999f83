import { readdirSync, readFileSync } from 'node:fs';

/**
 * Processes on this machine that run a function of the stack: MiniStack has one for each invocation at a time, started
 * from `/tmp/ministack-lambda-<function name>-…`. None where the emulator is on another machine, or is another one.
 * @param functionName as in the trigger table; its physical name begins with the stack's and has no hyphens
 */
function processesOf(stackName: string, functionName: string): number[] {
  const mark = `ministack-lambda-${stackName}-${functionName.replaceAll('-', '')}`;
  return processIds().filter((pid) => commandLineOf(pid).includes(mark));
}

function processIds(): number[] {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  } catch {
    return [];
  }
}

function commandLineOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    // It has ended meanwhile.
    return '';
  }
}

/** SIGKILL: as when Lambda loses a host, nothing is told and nothing is tidied up. @returns how many ended */
export function killProcesses(stackName: string, functionName: string): number {
  let killed = 0;
  for (const pid of processesOf(stackName, functionName)) {
    try {
      process.kill(pid, 'SIGKILL');
      killed += 1;
    } catch {
      // It has ended meanwhile.
    }
  }
  return killed;
}
