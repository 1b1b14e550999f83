/** What no function can be below: a handler that imports nothing and does nothing. */
export const handler = async () => ({ statusCode: 200, body: '{}' });
