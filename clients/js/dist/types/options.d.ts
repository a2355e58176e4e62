/** What an application chooses. */
import type { SessionStore } from './store.js';
/** What a provider is told about the attempt that it is asked for. */
export interface Asked {
    /** Counts the attempts from 1. */
    attempt: number;
    /** The server refused the last ticket, or asks for a fresh one. */
    refresh: boolean;
}
/** A value, or a function that is asked for it before each attempt. A rejection is a failed attempt. */
export type Provided<T> = T | ((asked: Asked) => T | Promise<T>);
/** Anything that is constructed and behaves like the standard WebSocket. */
export type WebSocketConstructor = new (url: string, protocols?: string[]) => WebSocket;
export interface Options {
    /** Subprotocols of the application, offered beside `everwire.v1`. */
    protocols?: string | string[];
    /**
     * `auto`: a session where the server offers one, else a plain WebSocket that reconnects. `required`: a session or nothing. `off`:
     * always plain. Default: `auto`.
     */
    session?: 'required' | 'auto' | 'off';
    /** Says who the client is, if cookies do not. */
    ticket?: Provided<string | Uint8Array>;
    /** How long the server is asked to keep the session while it is detached, in ms. Default: 60 s. */
    ttl?: number;
    /** What the server may send before the application has taken it, in bytes (each message counts 32 more). Default: 256 KiB. */
    window?: number;
    /** The largest message that is accepted, in bytes. Default: 1 MiB. */
    maxMessage?: number;
    /** What `send` keeps until the server has it, in bytes. Above that it throws. Default: 1 MiB. */
    bufferBytes?: number;
    /** The same, in messages. Default: 4096. */
    bufferMessages?: number;
    /**
     * While detached, the oldest messages give way to new ones, and a `gap` says so, instead of `send` throwing. Default: false.
     */
    evict?: boolean;
    /**
     * Where the session is kept that it survives a reload of the page, such as a `TabStore`. A message is then done when its listeners
     * have finished. Default: none, the session ends with the page.
     */
    store?: SessionStore;
    /** Whether a resume says HELLO in the upgrade, which saves a round trip. Default: true. */
    early?: boolean;
    /** For platforms that have none, such as Node before 22. */
    WebSocket?: WebSocketConstructor;
}
