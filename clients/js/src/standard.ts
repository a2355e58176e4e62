/** What the standard WebSocket takes, and how it refuses the rest. */

export const PROTOCOL = 'everwire.v1';

/** Throws as the standard WebSocket does. */
export function refuse(name: string, why: string): never {
  throw new DOMException(why, name);
}

/** Returns the URL as a WebSocket has it. Throws if none would take it. See the WebSockets Standard §3.1. */
export function absolute(url: string | URL): string {
  try {
    const { href } = new URL(url, globalThis.location?.href);
    return 'ws' + /^(?:ws|http)(s?:[^#]*)$/.exec(href)![1];
  } catch {
    refuse('SyntaxError', `no WebSocket URL: ${url}`);
  }
}

/** Returns the subprotocols of the application. Throws if no WebSocket would take them, or if one of them is ours. */
export function offers(protocols: string | string[] = []): string[] {
  const all = [PROTOCOL, protocols].flat();
  if (!all.every((each, i) => /^[\w!#$%&'*+.^`|~-]+$/.test(each) && all.indexOf(each) === i)) {
    refuse('SyntaxError', `protocols: ${protocols}`);
  }
  return all;
}
