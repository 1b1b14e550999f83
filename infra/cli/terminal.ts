import { styleText } from 'node:util';

/** Styles for a terminal; plain text anywhere else, and with NO_COLOR. */
const style = (format: Parameters<typeof styleText>[0]) => (text: string) =>
  styleText(format, text, { stream: process.stdout });

export const bold = style('bold');
export const dim = style('dim');
export const accent = style('cyan');
export const good = style('green');
export const bad = style('red');

/** By HTTP status: green for success, yellow for the caller's errors, red for the service's. */
export function coloredStatus(status: number): string {
  return style(status < 300 ? 'green' : status < 500 ? 'yellow' : 'red')(String(status));
}

export function print(text = ''): void {
  process.stdout.write(`${text}\n`);
}

/** Columns of the terminal; no limit where the output goes anywhere else, which keeps each line whole for `grep`. */
export const terminalWidth = (): number =>
  // A terminal that does not know its width says 0.
  process.stdout.isTTY && process.stdout.columns > 0 ? process.stdout.columns : Infinity;
