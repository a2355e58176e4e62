/** What happens to a page: it sleeps, wakes, goes. Nothing of this exists in Node. */

export interface Page {
  /** Somebody looks, or the network changed: what is broken should be found out now. */
  wake(): void;
  /** The page stands still from now on, maybe for ever, and may be kept for the way back if it has no socket and no lock. */
  sleep(): void;
  /** The page goes for good. */
  leave(): void;
}

/** Tells `page` what happens until `signal` aborts. What happens to the document bubbles up to the window. */
export function watch({ wake, sleep, leave }: Page, signal: AbortSignal): void {
  const listen = (type: string, listener: (event: any) => void) =>
    globalThis.addEventListener?.(type, listener, { signal });
  for (const type of ['visibilitychange', 'resume', 'pageshow', 'online']) listen(type, wake);
  listen('freeze', sleep);
  listen('pagehide', ({ persisted }) => (persisted ? sleep() : leave()));
}
