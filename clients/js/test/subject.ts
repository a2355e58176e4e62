/** What is tested: the sources, or with BUILT=1 what was built from them. */

import type * as index from '../src/index.js';
import type * as tab from '../src/tab.js';

const built = !!process.env.BUILT;

export const { EverwireSocket } = (await import(built ? '../dist/everwire.js' : '../src/index.js')) as typeof index;
export const { TabStore } = (await import(built ? '../dist/tab.js' : '../src/tab.js')) as typeof tab;
