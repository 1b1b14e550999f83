import { readdirSync, readFileSync } from 'node:fs';

/**
 * Kills the processes on this machine that run a function of the stack, with SIGKILL, as when Lambda loses a host.
 * MiniStack has one per concurrent invocation, started from `/tmp/ministack-lambda-<function name>-…`. There is none if
 * the emulator runs on another machine, or is another one.
 * @param functionName as in the trigger table; its physical name begins with the stack's and has no hyphens
 * @returns the number of processes
 */
export function killProcesses(stackName: string, functionName: string): number {
  const mark = `ministack-lambda-${stackName}-${functionName.replaceAll('-', '')}`;
  return (orNothing(() => readdirSync('/proc')) ?? []).filter((name) => {
    const isVictim =
      /^\d+$/.test(name) && orNothing(() => readFileSync(`/proc/${name}/cmdline`, 'utf8'))?.includes(mark);
    return isVictim === true && orNothing(() => process.kill(Number(name), 'SIGKILL'));
  }).length;
}

/** Undefined if it fails: there is no `/proc`, or the process has ended meanwhile. */
function orNothing<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch {
    return undefined;
  }
}
