/** What an EverwireSocket tells. */

import type { Payload } from './frame.js';

/** Messages of one direction that will not come. */
export interface GapEvent extends Event {
  readonly direction: 'in' | 'out';
  readonly from: number;
  readonly to: number;
  readonly reason: 'evicted-bytes' | 'evicted-age' | 'conflated' | 'restart' | 'oversize';
}

/** The other end has forgotten this one. What it had not acknowledged is handed back. */
export interface LostEvent extends Event {
  readonly unacknowledged: Payload[];
}

/** Attached again. */
export interface ResumedEvent extends Event {
  /** The other end is a new one, that knows nothing of before. */
  readonly fresh: boolean;
}

export interface EverwireEventMap {
  open: Event;
  message: MessageEvent;
  error: Event & { readonly error?: unknown };
  close: CloseEvent & { readonly unacknowledged: Payload[] };
  detached: Event;
  resumed: ResumedEvent;
  gap: GapEvent;
  lost: LostEvent;
}

export const EVENTS = ['open', 'message', 'error', 'close', 'detached', 'resumed', 'gap', 'lost'] as const;

/** The handler attributes. */
export type Handlers = { [K in keyof EverwireEventMap as `on${K}`]: Handler<EverwireEventMap[K]> | null };

/** Also what handles the event as the standard has it, and knows nothing of what is more here: as methods are compared. */
type Handler<E extends Event> = { handle(event: E): unknown }['handle'];
