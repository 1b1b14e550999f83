import type { InstanceKey } from '../../../functions/model/instance.ts';
import type { Trusted } from '../../../functions/core/trust.ts';
import { bad, dim, good } from '../terminal.ts';

type Done = { key: InstanceKey; trusted: Trusted };

/** A table: one line per instance, under a header. */
export function linesOf(done: readonly Done[]): string[] {
  const header = ['tenant', 'element', 'source was'];
  const rows = done.map(({ key, trusted }) => ({
    cells: [key.tenantId, key.elementKey, trusted.was ?? ''],
    trusted,
  }));
  const widths = header.map((name, column) =>
    Math.max(name.length, ...rows.map(({ cells }) => (cells[column] ?? '').length)),
  );
  const aligned = (cells: readonly string[]) =>
    cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ');
  return [
    dim(aligned(header).trimEnd()),
    ...rows.map(({ cells, trusted }) => `${aligned(cells)}  ${saying(trusted)}`),
  ];
}

function saying(trusted: Trusted): string {
  switch (trusted.kind) {
    case 'trusted':
      return good('trusted') + vouchedFor(trusted.entries);
    case 'would-be-trusted':
      return `would be trusted${vouchedFor(trusted.entries)}`;
    case 'unchanged':
      return dim('as before');
    case 'refused':
      return bad(`refused: ${trusted.reason}`);
  }
}

const vouchedFor = (entries: readonly string[]): string =>
  entries.length > 0 ? `, with ${entries.join(', ')} as requests have set them` : '';

/** One line of an audit trail. Holds names of configuration entries, and no value of any. */
export function jsonOf({ tenantId, elementKey }: InstanceKey, trusted: Trusted, nowMs: number): string {
  const { kind: outcome, was } = trusted;
  const row = 'row' in trusted ? trusted.row : undefined;
  return JSON.stringify({
    at: new Date(nowMs).toISOString(),
    tenantId,
    elementKey,
    outcome,
    was,
    entries: 'entries' in trusted ? trusted.entries : undefined,
    reason: 'reason' in trusted ? trusted.reason : undefined,
    provisionId: row?.provisionId,
    instanceId: row?.instanceId,
  });
}
