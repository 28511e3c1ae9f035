// Socket.IO with one room. Nothing is kept, nobody checked.
//
//     node socketio.js PORT

const { Server } = require("socket.io");

const server = new Server(Number(process.argv[2]), { transports: ["websocket"], perMessageDeflate: false });

server.on("connection", (socket) => {
  socket.join("room");
  socket.on("send", (text) => {
    server.to("room").emit("message", { text });
    socket.emit("ack");
  });
});
