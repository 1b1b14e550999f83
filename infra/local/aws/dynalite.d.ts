declare module 'dynalite' {
  import type { Server } from 'node:http';

  /** Returns the embedded DynamoDB as an HTTP server that is not listening yet. dynalite has no types of its own. */
  export default function dynalite(options?: { createTableMs?: number }): Server;
}
