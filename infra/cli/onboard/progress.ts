import { bad, bold, dim, good, print } from '../terminal.ts';
import type { Counts } from './run.ts';

const redrawMs = 200;
/** Outside a terminal every line is kept in a log, so they are few. */
const plainLineMs = 10_000;

/** Shows the progress of a run: one line that is redrawn on a terminal, and occasional plain lines elsewhere. */
export function showProgress(counts: () => Counts): { stop: () => void } {
  const isTerminal = process.stdout.isTTY;
  const draw = () => {
    if (isTerminal) process.stdout.write(`\r\u001b[K${barLine(counts(), process.stdout.columns)}`);
    else print(plainLine(counts()));
  };
  draw();
  const timer = setInterval(draw, isTerminal ? redrawMs : plainLineMs);
  return {
    stop() {
      clearInterval(timer);
      draw();
      if (isTerminal) print();
    },
  };
}

/** @param columns of the terminal; the bar takes the space beside the figures */
export function barLine(counts: Counts, columns: number): string {
  const { rows, unsent, active, failed, unknown, waiting } = counts;
  const width = number(rows).length;
  const column = (name: string, value: number) => `${name} ${number(value).padStart(width)}`;
  const figures = [
    `${number(rows - unsent).padStart(width)}/${number(rows)} sent`,
    column('active', active),
    column('failed', failed + unknown),
    column('waiting', waiting),
    `${perSecond(counts).toFixed(1).padStart(5)}/s`,
    timeLeft(counts).padEnd(10),
  ].join('  ');
  const barWidth = Math.max(0, Math.min(30, columns - figures.length - 5));
  if (barWidth < 5) return figures.slice(0, Math.max(0, columns - 1));
  const done = Math.floor(((rows - unsent - waiting) / rows) * barWidth);
  return `[${good('█'.repeat(done))}${dim('░'.repeat(barWidth - done))}] ${figures}`;
}

export function plainLine(counts: Counts): string {
  const { rows, unsent, active, failed, unknown, waiting } = counts;
  return [
    `${number(rows - unsent)} of ${number(rows)} sent`,
    `${number(active)} active`,
    `${number(failed + unknown)} failed`,
    `${number(waiting)} waiting`,
    `${perSecond(counts).toFixed(1)}/s`,
    timeLeft(counts),
  ]
    .filter((part) => part !== '')
    .join(', ');
}

/** The outcome of the run; `badRows` were never sent. */
export function summaryOf(counts: Counts, badRows: number): string {
  const { rows, active, failed, unknown, unsent, waiting } = counts;
  const lines: [number, string, (text: string) => string][] = [
    [active, 'active', good],
    [failed, 'failed', bad],
    [unknown, 'without an outcome in time', bad],
    [waiting, 'sent, outcome open', bold],
    [unsent, 'not sent', bold],
    [badRows, badRows === 1 ? 'bad row, not sent' : 'bad rows, not sent', bad],
  ];
  const total = number(rows + badRows);
  return [
    bold(counted(rows + badRows, 'row')),
    ...lines
      .filter(([count]) => count > 0)
      .map(([count, what, style]) => `${style(number(count).padStart(total.length))} ${what}`),
  ].join('\n');
}

/** Rows per second that were sent and have ended. */
function perSecond({ active, failed, unknown, notSent, elapsedMs }: Counts): number {
  return elapsedMs === 0 ? 0 : ((active + failed + unknown - notSent) * 1_000) / elapsedMs;
}

function timeLeft(counts: Counts): string {
  const left = counts.unsent + counts.waiting;
  const rate = perSecond(counts);
  // Too early for an estimate.
  if (left === 0 || rate === 0 || counts.elapsedMs < 3_000) return '';
  const seconds = Math.ceil(left / rate);
  if (seconds < 100) return `${seconds} s left`;
  return seconds < 6_000 ? `${Math.ceil(seconds / 60)} min left` : `${Math.ceil(seconds / 3_600)} h left`;
}

export const number = (value: number): string => value.toLocaleString('en-US');

/** `1 row`, `5,000 rows`. */
export const counted = (value: number, noun: string): string =>
  `${number(value)} ${noun}${value === 1 ? '' : 's'}`;
