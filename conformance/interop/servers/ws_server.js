// An echo server on npm's ws. Prints its port, then how each connection was closed.
const { WebSocketServer } = require('ws');

const server = new WebSocketServer({
  host: '127.0.0.1',
  port: 0,
  maxPayload: 16 << 20,
  perMessageDeflate: { threshold: 0 },
  handleProtocols: () => false, // it would choose the first that is offered
});
server.on('listening', () => console.log(server.address().port));
server.on('connection', (socket) => {
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  socket.on('close', (code, reason) => console.log('closed', code, reason.toString()));
  socket.on('error', (error) => console.error(error.message));
});
