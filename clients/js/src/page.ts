/** What happens to a page: it sleeps, wakes, goes. Nothing of this exists in Node. */

/**
 * Tells what happens until `signal` aborts. What happens to the document bubbles up to the window.
 *
 * `wake`: somebody looks, or the network changed: what is broken should be found out now. `sleep`: the page stands still from now on,
 * maybe for ever, and may be kept for the way back if it has no socket and no lock. `leave`: the page goes for good.
 */
export function watch(wake: () => void, sleep: () => void, leave: () => void, signal: AbortSignal): void {
  const listeners: Record<string, (event: any) => void> = {
    visibilitychange: wake,
    resume: wake,
    pageshow: wake,
    online: wake,
    freeze: sleep,
    pagehide: ({ persisted }) => (persisted ? sleep() : leave()),
  };
  for (const type in listeners) globalThis.addEventListener?.(type, listeners[type]!, { signal });
}
