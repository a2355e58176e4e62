/** Listeners of our own: what they return is waited for, which no EventTarget does. */
type Listener = EventListenerOrEventListenerObject | null;
type Handler = ((event: never) => unknown) | null;
export declare class Listeners {
    #private;
    add(type: string, listener: Listener, options?: boolean | AddEventListenerOptions): void;
    remove(type: string, listener: Listener): void;
    handler(type: string): Handler;
    /** Sets the handler attribute. It is called in the place of when it was set first. */
    handle(type: string, handler: unknown): void;
    /** Calls everybody, and returns what has not finished. */
    dispatch(target: unknown, event: Event): Promise<unknown>[];
}
/** Makes an event with these properties. */
export declare function makeEvent(target: unknown, type: string, properties: object): Event;
export {};
