/** A number up to 2^53 - 1, as rows keep it. Text: an id that they cannot keep, exactly as Cloud Elements writes it. */
export type InstanceId = number | string;

/** For logs and errors: text that is no integer could be anything that Cloud Elements has repeated. */
export const loggableId = (id: InstanceId): InstanceId =>
  typeof id === 'number' || /^-?\d+$/.test(id) ? id : '(not an integer)';
