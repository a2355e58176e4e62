import { defineConfig } from 'vitest/config';

// Time is virtual in most tests; a busy machine may take its own.
export default defineConfig({ test: { testTimeout: 60_000, hookTimeout: 60_000 } });
