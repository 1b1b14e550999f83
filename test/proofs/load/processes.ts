import { readdirSync, readFileSync } from 'node:fs';

/**
 * Processes on this machine that run a function of the stack: MiniStack has one per concurrent invocation, started from
 * `/tmp/ministack-lambda-<function name>-…`. Empty if the emulator runs on another machine, or is another one.
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
    // The process has ended meanwhile.
    return '';
  }
}

/** Sends SIGKILL, without notice or cleanup, as when Lambda loses a host. @returns the number of processes */
export function killProcesses(stackName: string, functionName: string): number {
  let killed = 0;
  for (const pid of processesOf(stackName, functionName)) {
    try {
      process.kill(pid, 'SIGKILL');
      killed += 1;
    } catch {
      // The process has ended meanwhile.
    }
  }
  return killed;
}
