/** Times of sending by the sender's clock, and of arrival: seconds after `beganAt`. */
export type Sent = {
  sentAtS: number;
  arrivedAtS?: number;
  id?: string;
  detail?: object;
};

/**
 * An event as the bus delivers it, from a sender with a clock of its own.
 * @param beganAt ms since the epoch
 */
export function sentEvent(
  beganAt: number,
  type: string,
  tenantId: string,
  { sentAtS, arrivedAtS = sentAtS, id, detail }: Sent,
) {
  const time = new Date(beganAt + sentAtS * 1_000).toISOString();
  return {
    event: {
      id: id ?? `${type}@${sentAtS}`,
      source: 'crm',
      'detail-type': type,
      time,
      detail: { tenantId, ...detail },
    },
    arrivedAt: beganAt + arrivedAtS * 1_000,
  };
}
