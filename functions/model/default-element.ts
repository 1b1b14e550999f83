/** The element that an event means when it names none. */
export const defaultElementKey = 'taxify';
