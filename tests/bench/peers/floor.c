/* The floor under every broadcaster on this machine: one thread, epoll, and nothing done that is not the kernel's work.
 *
 *     floor PORT
 *
 * Whoever sends {"type":"send","text":…} over the websocket is heard by everybody as {"type":"message",…,"text":…}, and
 * gets {"type":"ack",…}. Both are as long as this chat's would be (a message with the mark that the load puts before
 * its text): what stands there is always the same. Nobody is asked who they are, nothing is kept, and a text is passed
 * on as it was written. What came in one round of epoll goes out as one write to each socket; what a socket does not
 * take waits for it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FRAME = 16384, EVENTS = 512, LAGGING = 16 << 20 };

typedef struct {
  char *bytes;
  size_t length, room;
} Bytes;

typedef struct {
  int fd, at; /* at: its index in `open`, or -1 before the handshake */
  int acks;   /* owed at the end of the round */
  size_t have;
  Bytes unsent;
  unsigned char in[FRAME];
} Peer;

static Peer **peers;
static int open_count, poller;
static Bytes round_out, acks; /* what this round sends to all; as many acks as were ever owed at once */
static const char ACK[] =
    "\x81\x45{\"type\":\"ack\",\"id\":\"6920000000000000\",\"room\":\"00000000r\",\"seq\":10000}";
static const char MESSAGE[] =
    "{\"type\":\"message\",\"at\":\"2026-01-01T00:00:00.000000Z\",\"by\":\"00000000a\",\"room\":\"00000000r\","
    "\"seq\":1000,\"mentions\":[],";

static void add(Bytes *to, const void *bytes, size_t length) {
  if (to->length + length > to->room) to->bytes = realloc(to->bytes, to->room = 2 * (to->length + length));
  memcpy(to->bytes + to->length, bytes, length);
  to->length += length;
}

static void leave(Peer *peer) {
  if (peer->at >= 0) {
    peers[peer->at] = peers[--open_count];
    peers[peer->at]->at = peer->at;
  }
  close(peer->fd);
  free(peer->unsent.bytes);
  free(peer);
}

/* ---- sending */

static void wait_for_room(Peer *peer, uint32_t also) {
  struct epoll_event event = {EPOLLIN | also, {.ptr = peer}};
  epoll_ctl(poller, EPOLL_CTL_MOD, peer->fd, &event);
}

static void keep(Peer *peer, struct iovec *parts, size_t written) {
  if (!peer->unsent.length) wait_for_room(peer, EPOLLOUT);
  for (int at = 0; at < 2; at++) {
    size_t gone = written < parts[at].iov_len ? written : parts[at].iov_len;
    add(&peer->unsent, (char *)parts[at].iov_base + gone, parts[at].iov_len - gone);
    written -= gone;
  }
  if (peer->unsent.length > LAGGING) shutdown(peer->fd, SHUT_RDWR); /* epoll tells, and it leaves */
}

static void write_round(Peer *peer) {
  struct iovec parts[2] = {{acks.bytes, peer->acks * (sizeof ACK - 1)}, {round_out.bytes, round_out.length}};
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
  size_t length = parts[0].iov_len + parts[1].iov_len;
  ssize_t written = peer->unsent.length ? 0
                    : peer->acks        ? sendmsg(peer->fd, &message, MSG_NOSIGNAL)
                                        : send(peer->fd, round_out.bytes, length, MSG_NOSIGNAL);
  peer->acks = 0;
  if (written < 0 && errno != EAGAIN) return; /* gone: epoll tells */
  if (written < (ssize_t)length) keep(peer, parts, written > 0 ? written : 0);
}

static void write_unsent(Peer *peer) {
  ssize_t written = send(peer->fd, peer->unsent.bytes, peer->unsent.length, MSG_NOSIGNAL);
  if (written < 0) return;
  peer->unsent.length -= written;
  memmove(peer->unsent.bytes, peer->unsent.bytes + written, peer->unsent.length);
  if (!peer->unsent.length) wait_for_room(peer, 0);
}

/* ---- the handshake: RFC 6455, section 4.2.2 */

static uint32_t rotate(uint32_t word, int by) { return word << by | word >> (32 - by); }

static void sha1_block(uint32_t sum[5], const unsigned char *block) {
  static const uint32_t added[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
  uint32_t words[80], a = sum[0], b = sum[1], c = sum[2], d = sum[3], e = sum[4];
  for (int at = 0; at < 16; at++, block += 4)
    words[at] = (uint32_t)block[0] << 24 | block[1] << 16 | block[2] << 8 | block[3];
  for (int at = 16; at < 80; at++)
    words[at] = rotate(words[at - 3] ^ words[at - 8] ^ words[at - 14] ^ words[at - 16], 1);
  for (int at = 0; at < 80; at++) {
    uint32_t mixed = at < 20 ? (b & c) | (~b & d) : at / 20 == 2 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
    uint32_t next = rotate(a, 5) + mixed + e + words[at] + added[at / 20];
    e = d, d = c, c = rotate(b, 30), b = a, a = next;
  }
  sum[0] += a, sum[1] += b, sum[2] += c, sum[3] += d, sum[4] += e;
}

/* Of a text that ends in the second block: a key and the RFC's suffix are 60 characters. */
static void sha1(const char *text, size_t length, unsigned char digest[21]) {
  uint32_t sum[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
  unsigned char blocks[128] = {0};
  memcpy(blocks, text, length);
  blocks[length] = 0x80;
  blocks[126] = length * 8 >> 8, blocks[127] = length * 8;
  sha1_block(sum, blocks);
  sha1_block(sum, blocks + 64);
  for (int at = 0; at < 20; at++) digest[at] = sum[at / 4] >> (24 - at % 4 * 8);
  digest[20] = 0;
}

static void accept_value(const char *key, char value[29]) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  char text[64];
  unsigned char digest[21];
  sha1(text, snprintf(text, sizeof text, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key), digest);
  for (int at = 0; at < 28; at++) {
    int bit = at * 6, pair = digest[bit / 8] << 8 | (bit < 160 ? digest[bit / 8 + 1] : 0);
    value[at] = digits[pair >> (10 - bit % 8) & 63];
  }
  value[27] = '=', value[28] = 0;
}

/* Returns how many bytes it took, 0 for none yet, -1 for one that is no handshake. */
static long shake_hands(Peer *peer) {
  unsigned char *end = memmem(peer->in, peer->have, "\r\n\r\n", 4);
  if (!end) return 0;
  *end = 0;
  const char *key = strcasestr((char *)peer->in, "\r\nSec-WebSocket-Key:");
  if (!key || strlen(key += 20 + strspn(key + 20, " ")) < 24) return -1;
  char value[29], answer[256];
  accept_value(key, value);
  int length = snprintf(answer, sizeof answer,
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Accept: %s\r\n\r\n",
                        value);
  if (send(peer->fd, answer, length, MSG_NOSIGNAL) != length) return -1;
  peer->at = open_count;
  peers = realloc(peers, (open_count + 1) * sizeof *peers);
  peers[open_count++] = peer;
  return end + 4 - peer->in;
}

/* ---- hearing */

static void frame_for_all(const unsigned char *text, size_t length) {
  size_t whole = sizeof MESSAGE - 1 + length;
  unsigned char head[4] = {0x81, whole, whole >> 8, whole};
  if (whole >= 126) head[1] = 126;
  add(&round_out, head, whole < 126 ? 2 : 4);
  add(&round_out, MESSAGE, sizeof MESSAGE - 1);
  add(&round_out, text, length);
}

static void hear(Peer *peer, unsigned char *text, size_t length) {
  const unsigned char *said = memmem(text, length, "\"text\":", 7);
  if (!said || !memmem(text, said - text, "\"send\"", 6)) return;
  frame_for_all(said, text + length - said);
  if ((size_t)++peer->acks * (sizeof ACK - 1) > acks.length) add(&acks, ACK, sizeof ACK - 1);
}

static void unmask(unsigned char *text, size_t length, const unsigned char *mask) {
  if (!memcmp(mask, "\0\0\0\0", 4)) return;
  for (size_t at = 0; at < length; at++) text[at] ^= mask[at % 4];
}

/* Returns how many bytes it took, 0 for none yet, -1 for a farewell or for nonsense. */
static long take_frame(Peer *peer, size_t from) {
  unsigned char *frame = peer->in + from;
  size_t have = peer->have - from, start = 6, length = have < 2 ? 0 : frame[1] & 127;
  if (have < 2 || (length == 126 && have < 8)) return 0;
  if (length == 127 || !(frame[1] & 0x80) || (frame[0] & 15) == 8) return -1;
  if (length == 126) length = frame[2] << 8 | frame[3], start = 8;
  if (start + length > FRAME) return -1;
  if (have < start + length) return 0;
  unmask(frame + start, length, frame + start - 4);
  if ((frame[0] & 15) == 1) hear(peer, frame + start, length);
  return start + length;
}

static int read_from(Peer *peer) {
  ssize_t more = recv(peer->fd, peer->in + peer->have, FRAME - peer->have, 0);
  if (more <= 0) return more < 0 && errno == EAGAIN;
  peer->have += more;
  size_t at = 0;
  for (long took = 1; took > 0 && at < peer->have; at += took)
    if ((took = peer->at < 0 ? shake_hands(peer) : take_frame(peer, at)) < 0) return 0;
  memmove(peer->in, peer->in + at, peer->have -= at);
  return 1;
}

/* ---- the rounds */

static void welcome(int listener) {
  int one = 1;
  for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
    Peer *peer = calloc(1, sizeof *peer);
    struct epoll_event readable = {EPOLLIN, {.ptr = peer}};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    peer->fd = fd, peer->at = -1;
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &readable);
  }
}

static void attend(struct epoll_event *event) {
  Peer *peer = event->data.ptr;
  if (event->events & EPOLLOUT && peer->unsent.length) write_unsent(peer);
  if (event->events & ~EPOLLOUT && !read_from(peer)) leave(peer);
}

static int listen_on(int port) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4096)) perror("floor"), exit(1);
  return listener;
}

int main(int argc, char **argv) {
  struct epoll_event events[EVENTS], connecting = {EPOLLIN, {.ptr = NULL}};
  struct rlimit files;
  if (argc != 2) return fputs("floor PORT\n", stderr), 2;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  int listener = listen_on(atoi(argv[1]));
  poller = epoll_create1(0);
  epoll_ctl(poller, EPOLL_CTL_ADD, listener, &connecting);
  for (;;) {
    int ready = epoll_wait(poller, events, EVENTS, -1);
    for (int at = 0; at < ready; at++) events[at].data.ptr ? attend(&events[at]) : welcome(listener);
    for (int at = 0; at < open_count && round_out.length; at++) write_round(peers[at]);
    round_out.length = 0;
  }
}
