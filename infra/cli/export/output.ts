import { tagsCell } from '../csv.ts';
import type { Exported } from './rows.ts';
import type { TokenRead } from './tokens.ts';

const columns = ['tenantId', 'elementKey', 'instanceId', 'name', 'tags', 'status'];

/** The cells of CSV, the names of the columns first. `reads`: for a column of tokens. */
export function cellsOf(
  rows: readonly Exported[],
  reads: ReadonlyMap<Exported, TokenRead> | undefined,
): string[][] {
  const cells = rows.map((row) => {
    const { tenantId, elementKey, instanceId = '', name, tags, status } = row;
    const own = [tenantId, elementKey, String(instanceId), name, tagsCell(tags), status];
    return reads ? [...own, tokenIn(reads.get(row)) ?? ''] : own;
  });
  return [reads ? [...columns, 'token'] : columns, ...cells];
}

/** But for the token, a line of a manifest in JSON Lines. */
export const jsonOf = (
  { tenantId, elementKey, instanceId, name, tags, status }: Exported,
  read: TokenRead | undefined,
) => ({
  tenantId,
  element: { key: elementKey },
  instanceId,
  name,
  tags,
  status,
  token: tokenIn(read),
});

/** Why the row is not complete. */
export function faultOf(
  { tenantId, elementKey, status }: Exported,
  read: TokenRead | undefined,
): string | undefined {
  const name = `${tenantId} ${elementKey}`;
  if (status === 'unreadable') return `${name}: this version cannot read its row`;
  return read?.kind === 'failed' ? `${name}: its token could not be read: ${read.why}` : undefined;
}

const tokenIn = (read: TokenRead | undefined): string | undefined =>
  read?.kind === 'token' ? read.token : undefined;
