// Checks the compression of an echo server with npm's ws.
const { once } = require('node:events');
const { WebSocket } = require('ws');
const { MIB, expect, run } = require('./checks');

const [url, mode] = process.argv.slice(2);
const json = Array.from({ length: 200 }, (_, i) => `{"id":${i},"name":"item ${i % 7}","ok":true},`).join('');

async function echoed(options) {
  const socket = new WebSocket(url, { maxPayload: 16 << 20, perMessageDeflate: { threshold: 0, ...options } });
  // Its own list of extensions has no parameters.
  let answer = '';
  socket.once('upgrade', (response) => (answer = response.headers['sec-websocket-extensions'] ?? ''));
  await once(socket, 'open');
  expect(true, answer.startsWith('permessage-deflate'));
  if (mode === 'shared') expect(true, answer.includes('server_no_context_takeover'));
  for (const message of [json, json, '', 'x', Buffer.from(json.repeat(30)), MIB, json]) {
    socket.send(message);
    const [data, isBinary] = await once(socket, 'message');
    expect(message.toString('latin1'), isBinary ? data.toString('latin1') : data.toString());
  }
  socket.send(json, { fin: false, compress: true });
  const message = once(socket, 'message');
  socket.send(json, { fin: true });
  expect(json + json, (await message)[0].toString());
  socket.terminate();
}

run({
  'its default': () => echoed({}),
  async 'window bits'() {
    for (const bits of [9, 12, 15]) await echoed({ serverMaxWindowBits: bits, clientMaxWindowBits: bits });
  },
  async 'no context'() {
    await echoed({ serverNoContextTakeover: true });
    await echoed({ clientNoContextTakeover: true });
  },
});
