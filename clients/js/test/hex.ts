/** Bytes in hex, and numbers by their names, as docs/vectors.json has them. */

export const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
export const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'));

export const REASONS = ['', 'evicted-bytes', 'evicted-age', 'conflated', 'restart', 'oversize'];
export const STATUSES = ['new', 'resumed', 'lost', 'ended', 'busy', 'moved', 'auth', 'stale', 'version'];
