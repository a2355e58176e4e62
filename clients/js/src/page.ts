/** What happens to a page: it sleeps, wakes, goes. Nothing of this exists in Node. */

export interface Page {
  /** Somebody looks, or the network changed: what is broken should be found out now. */
  wake(): void;
  /** The page stands still from now on, maybe for ever, and may be kept for the way back if it has no socket and no lock. */
  sleep(): void;
  /** The page goes for good. */
  leave(): void;
}

/** Tells `page` what happens until `signal` aborts. */
export function watch(page: Page, signal: AbortSignal): void {
  const listen = (target: EventTarget | undefined, type: string, listener: (event: any) => void) =>
    target?.addEventListener?.(type, listener, { signal });
  const wake = () => page.wake();
  const { document, navigator } = globalThis;
  const window = globalThis as unknown as EventTarget;
  listen(document, 'visibilitychange', () => document.visibilityState === 'visible' && page.wake());
  listen(document, 'freeze', () => page.sleep());
  listen(document, 'resume', wake);
  listen(window, 'pageshow', wake);
  listen(window, 'online', wake);
  listen(window, 'pagehide', ({ persisted }) => (persisted ? page.sleep() : page.leave()));
  listen((navigator as any)?.connection, 'change', wake);
}

/** Returns whether there is certainly no network. */
export function isOffline(): boolean {
  return globalThis.navigator?.onLine === false;
}
