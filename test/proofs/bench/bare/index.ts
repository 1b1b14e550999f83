/** The lower bound for any function: a handler that imports nothing and does nothing. */
export const handler = async () => ({ statusCode: 200, body: '{}' });
