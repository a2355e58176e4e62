// What the JavaScript clients have in common: running named checks, one line each.
const DEADLINE_MS = 20_000;

exports.MIB = 'é'.repeat(1 << 19); // 1 MiB of UTF-8

exports.expect = (expected, actual) => {
  const [e, a] = [expected, actual].map((value) => JSON.stringify(value) ?? 'undefined');
  if (e !== a) throw new Error(`expected ${e.slice(0, 80)}, got ${a.slice(0, 80)}`);
};

// Runs each of `checks`, an object of async functions, and exits 1 if one of them threw.
exports.run = async (checks) => {
  let failed = false;
  for (const [name, check] of Object.entries(checks)) {
    let timer;
    const deadline = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error('took too long')), DEADLINE_MS);
    });
    try {
      await Promise.race([check(), deadline]);
      console.log(`ok      ${name}`);
    } catch (error) {
      failed = true;
      console.log(`FAILED  ${name}: ${error.message}`);
    } finally {
      clearTimeout(timer);
    }
  }
  process.exit(failed ? 1 : 0);
};
