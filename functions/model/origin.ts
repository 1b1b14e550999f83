/**
 * Is it nothing but an origin, https or on this machine? Path, query and user info would be ignored when it is used.
 */
export function isOrigin(text: string): boolean {
  const url = URL.parse(text);
  if (!url) return false;
  const isLoopback =
    url.hostname === 'localhost' || url.hostname === '[::1]' || /^127(\.\d+){3}$/.test(url.hostname);
  // URL adds a "/"; that much is forgiven.
  return (
    url.href === `${url.origin}/` && (url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback))
  );
}
