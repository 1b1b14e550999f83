import * as z from 'zod/mini';
import { coloredStatus, dim, print } from './terminal.ts';
import { plain } from '../plain-text.ts';

/** The fields of a function's log lines that the terminal shows. */
const logLineSchema = z.object({
  message: z.string(),
  route: z.optional(z.string()),
  operation: z.optional(z.string()),
  outcome: z.optional(z.string()),
  status: z.optional(z.number()),
  durationMs: z.optional(z.number()),
  tenantId: z.optional(z.string()),
  elementKey: z.optional(z.string()),
  error: z.optional(z.object({ message: z.string() })),
});

/** Prints one line per request or message, in columns; prints all other lines unchanged. */
export function printLogLine(line: string): void {
  const time = dim(new Date().toLocaleTimeString('en-GB'));
  const entry = logLineSchema.safeParse(parseJson(line)).data;
  if (!entry) {
    print(`${time}  ${plain(line)}`);
    return;
  }
  const {
    message,
    route,
    operation,
    outcome,
    status,
    durationMs,
    tenantId = '',
    elementKey = '',
    error,
  } = entry;
  const columns = [
    status === undefined ? '   ' : coloredStatus(status),
    (durationMs === undefined ? '' : `${durationMs} ms`).padStart(8),
    (
      route ??
      (operation && `  Cloud Elements ${operation}`) ??
      (outcome ? `${message}: ${outcome}` : message)
    ).padEnd(56),
    `${tenantId} ${elementKey}`.trim(),
  ];
  print(`${time}  ${columns.join('  ').trimEnd()}`);
  if (error) print(dim(`${' '.repeat(25)}${plain(error.message)}`));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
