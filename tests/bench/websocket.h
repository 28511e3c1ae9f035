/* A client's end of websockets: one thread, epoll, no dependencies.
 *
 * A program keeps a Wire at the beginning of what it knows of a connection, and defines the four functions that are
 * called from here. A wire is under way from `reach` until the program finds it `greeted`.
 */
#ifndef WEBSOCKET_H
#define WEBSOCKET_H

#include <sys/epoll.h>

#include "load.h"

enum { BUFFER = 1 << 20, TOGETHER = 64 };

typedef struct {
  int fd, port, greeted;
  enum { AWAY, CONNECTING, SHAKING, OPEN } state;
  const char *token;   /* empty for servers that ask for none */
  unsigned char *rest; /* the beginning of a frame whose end has not come yet */
  size_t have;
} Wire;

static void on_open(Wire *wire);                                           /* the handshake is over */
static void on_text(Wire *wire, const unsigned char *text, size_t length); /* behind it stands one byte at least */
static void on_pause(Wire *wire);                                          /* all that one read brought is taken */
static void on_lost(Wire *wire);                                           /* it is closed already */

static const char *path = "/ws";
static int opened, under_way;
static long closed, received; /* received: bytes */
static double moment;         /* of the last read: one look at the clock for all the frames it brought */
static unsigned char buffer[BUFFER];

static inline void lose(Wire *wire, const char *why, int length) {
  if (!closed++) fprintf(stderr, "%s: closed: %.*s\n", program_invocation_short_name, length, why);
  close(wire->fd);
  under_way -= !wire->greeted;
  wire->state = AWAY, wire->have = 0;
  on_lost(wire);
}

/* ---- sending */

static inline void write_out(Wire *wire, const void *bytes, size_t length) {
  ssize_t taken = send(wire->fd, bytes, length, MSG_NOSIGNAL);
  if (taken == (ssize_t)length) return;
  if (taken >= 0 || errno == EAGAIN) die("the server does not read: %zu bytes find no room any more", length);
  lose(wire, strerror(errno), 40);
}

/* Masked with zeros: legal, and no work. Returns the frame's length. */
static inline size_t frame(unsigned char *to, int opcode, const void *payload, size_t length) {
  size_t at = 2;
  to[0] = 0x80 | opcode;
  if (length < 126) {
    to[1] = 0x80 | length;
  } else {
    to[1] = 0x80 | 126, to[2] = length >> 8, to[3] = length, at = 4;
  }
  memset(to + at, 0, 4);
  memcpy(to + at + 4, payload, length);
  return at + 4 + length;
}

static inline void say(Wire *wire, const char *text, size_t length) {
  static unsigned char out[1 << 16];
  if (length > sizeof out - 8) die("a frame of %zu bytes is too long to be sent", length);
  write_out(wire, out, frame(out, 1, text, length));
}

/* ---- hearing */

static inline int begins(const unsigned char *text, size_t length, const char *start) {
  size_t size = strlen(start);
  return length >= size && !memcmp(text, start, size);
}

/* A number without a sign; behind the text there has to be something else than a digit. */
static inline long number_at(const unsigned char *text) {
  long number = 0;
  for (; *text >= '0' && *text <= '9'; text++) number = number * 10 + *text - '0';
  return number;
}

static inline void take_frame(Wire *wire, int first, unsigned char *payload, size_t length) {
  unsigned char pong[140];
  if (first == 0x81)
    on_text(wire, payload, length);
  else if (first == 0x89 && length < 126)
    write_out(wire, pong, frame(pong, 10, payload, length));
  else if (first == 0x88)
    lose(wire, (const char *)payload + 2, length > 2 ? length - 2 : 0);
  else if (first != 0x8a)
    die("a frame begins with %#x, and only whole ones of text are understood", first);
}

/* Where the frames begin, or 0 when the server's answer to the handshake is not whole. */
static inline size_t shaken(Wire *wire, size_t have) {
  const unsigned char *end = memmem(buffer, have, "\r\n\r\n", 4);
  if (!end) return 0;
  if (have < 12 || memcmp(buffer + 8, " 101", 4)) die("the handshake is refused: %.*s", (int)have, buffer);
  wire->state = OPEN;
  on_open(wire);
  return end + 4 - buffer;
}

/* Whole frames are taken, the rest waits for its end. */
static inline void take(Wire *wire, size_t have) {
  size_t at = wire->state == SHAKING ? shaken(wire, have) : 0;
  while (wire->state == OPEN && have - at >= 2) {
    unsigned char *from = buffer + at;
    size_t length = from[1], start = 2;
    if (length == 126) {
      if (have - at < 4) break;
      length = from[2] << 8 | from[3], start = 4;
    } else if (length == 127) {
      if (have - at < 10) break;
      length = (size_t)from[6] << 24 | from[7] << 16 | from[8] << 8 | from[9], start = 10;
    } else if (length > 127) {
      die("a server's frame is masked");
    }
    if (have - at < start + length) break;
    take_frame(wire, from[0], from + start, length);
    at += start + length;
  }
  if (wire->state == AWAY) return;
  wire->have = have - at;
  if (!wire->have) return;
  wire->rest = realloc(wire->rest, wire->have);
  memcpy(wire->rest, buffer + at, wire->have);
}

static inline void read_from(Wire *wire) {
  if (wire->have) memcpy(buffer, wire->rest, wire->have);
  if (wire->have == BUFFER - 1) die("a frame does not end within %d bytes", BUFFER);
  ssize_t more = recv(wire->fd, buffer + wire->have, BUFFER - wire->have - 1, 0);
  if (more < 0 && errno == EAGAIN) return;
  if (more <= 0) {
    lose(wire, "without a word", 14);
    return;
  }
  moment = now();
  received += more;
  buffer[wire->have + more] = 0;
  take(wire, wire->have + more);
  if (wire->state == OPEN) on_pause(wire);
}

/* ---- connecting */

static inline void shake_hands(Wire *wire) {
  char request[LINE], credentials[1024] = "";
  struct epoll_event readable = {EPOLLIN, {.ptr = wire}};
  must_stand(wire->fd, wire->port);
  if (*wire->token) snprintf(credentials, sizeof credentials, "Authorization: Bearer %s\r\n", wire->token);
  int length = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                        path, wire->port, credentials);
  wire->state = SHAKING;
  epoll_ctl(poller, EPOLL_CTL_MOD, wire->fd, &readable);
  write_out(wire, request, length);
}

/* Asks for a connection, and waits for nothing. The connections take the ports in turn. */
static inline void reach(Wire *wire, int number, const char *token) {
  struct epoll_event writable = {EPOLLOUT, {.ptr = wire}};
  *wire = (Wire){.state = CONNECTING, .port = ports[number % port_count], .token = token, .rest = wire->rest};
  wire->fd = dial(wire->port);
  epoll_ctl(poller, EPOLL_CTL_ADD, wire->fd, &writable);
  under_way++;
}

static inline void greeted(Wire *wire) {
  if (wire->greeted) return;
  wire->greeted = 1;
  under_way--, opened++;
}

static inline void hear_all(int milliseconds) {
  struct epoll_event events[512];
  int ready = epoll_wait(poller, events, 512, milliseconds);
  for (int at = 0; at < ready; at++) {
    Wire *wire = events[at].data.ptr;
    if (wire->state == CONNECTING)
      shake_hands(wire);
    else if (wire->state != AWAY)
      read_from(wire);
  }
}

/* Until no more than so many wires are under way. */
static inline void await(int most) {
  for (double end = now() + PATIENCE; under_way > most; hear_all(100))
    if (now() > end) die("%d connections were not greeted within %d s", under_way, PATIENCE);
}

#endif
