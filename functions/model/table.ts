/**
 * The shape of the table: the stack and the local DynamoDB create it, the store reads and writes it. Plain data:
 * imports nothing.
 */
export const tableShape = {
  partitionKey: 'tenantId',
  sortKey: 'elementKey',
  /** Seconds since the epoch. */
  timeToLive: 'expiresAt',
  /** Sparse: only unsettled rows have its two attributes. `sortKey`: a number, ms since the epoch. */
  index: { name: 'unsettled', partitionKey: 'unsettled', sortKey: 'checkAt' },
  /** Finds the rows that record an instance at Cloud Elements. `partitionKey`: a number. */
  instances: { name: 'instances', partitionKey: 'instanceId' },
} as const;

/**
 * Attributes whose names in the table are older than the words of the code. They stay, because the version before reads
 * and compares them while a deployment, or its undoing, is under way.
 */
const storedNames: Readonly<Record<string, string>> = {
  claimId: 'attemptId',
  inDoubt: 'contested',
  allowListed: 'harmless',
  requestedAt: 'askedAt',
  requestedTimes: 'askedTimes',
  requestedBy: 'askedBy',
};
const fieldNames = Object.fromEntries(Object.entries(storedNames).map(([field, stored]) => [stored, field]));

export const storedName = (field: string): string => storedNames[field] ?? field;

/** Names the fields as the table does. */
export const toStored = (row: object): Record<string, unknown> => renamed(row, storedNames);

/**
 * Partition of the index for rows with nothing left to settle, in which `checkAt` is the time of the next check of
 * health.
 */
export const healthPartition = 'health';

/** Names the attributes as the code does. To the code a settled row has no `checkAt`. */
export function fromStored(attributes: object): Record<string, unknown> {
  const { checkAt, ...settled } = renamed(attributes, fieldNames);
  const isSettled = settled['unsettled'] === healthPartition;
  return isSettled || checkAt === undefined ? settled : { ...settled, checkAt };
}

function renamed(from: object, names: Readonly<Record<string, string>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(from).map(([name, value]) => [names[name] ?? name, value]));
}
