/** What the standard WebSocket takes, and how it refuses the rest. */
export declare const PROTOCOL = "everwire.v1";
/** Throws as the standard WebSocket does. */
export declare function refuse(name: string, why: string): never;
/** Returns the URL as a WebSocket has it. Throws if none would take it. See the WebSockets Standard §3.1. */
export declare function absolute(url: string | URL): string;
/** Returns the subprotocols of the application. Throws if no WebSocket would take them, or if one of them is ours. */
export declare function offers(protocols?: string | string[]): string[];
