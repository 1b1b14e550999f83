declare module 'dynalite' {
  import type { Server } from 'node:http';

  /** The embedded DynamoDB as an HTTP server that is not open yet. dynalite brings no types of its own. */
  export default function dynalite(options?: { createTableMs?: number }): Server;
}
