/* A load for the chat's websocket: one thread, epoll, no dependencies.
 *
 *     wsload PORTS PROCESSES TOKENS TEXTS ROOM CONNECTIONS SENDERS WINDOW WARM SECONDS
 *
 * Each connection has a line of the file TOKENS for itself. The first SENDERS of them send lines of the file TEXTS to
 * ROOM, each with WINDOW commands unanswered, for WARM seconds that do not count and SECONDS that do. Every socket has
 * to hear every message of the room once, in the order of its seq and behind the seq that hello names; that is checked
 * to the end, after the last message was sent. PORTS and PROCESSES are the server's, or those of several nodes with
 * commas between: the sockets take the ports in turn, and the processes' share of a core is measured too (on Linux).
 * Prints one JSON object.
 *
 * With 0 seconds it connects, prints the object, and stays connected until its standard input is closed.
 * ROOM is the only room of these accounts. The server's frames are looked at by their beginning only: the chat writes
 * the field `type` first, and `seq` before anything that a person typed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WINDOW_MOST = 64, SAMPLES = 1 << 22, BUFFER = 4 << 20, PATIENCE = 20, NODES = 16 };

typedef struct {
  int fd, sends, unanswered, oldest;
  long seq;                  /* of the last message heard, or as hello said; -1 before hello */
  double since[WINDOW_MOST]; /* when the unanswered commands were sent, the oldest at `oldest` */
  unsigned char *rest;       /* the beginning of a frame whose end has not come yet */
  size_t have;
} Peer;

typedef struct {
  long acks, heard, refused, closed, disordered;
} Count;

static Peer *peers;
static Count count;
static const char *room;
static char **tokens, **texts;
static int ports[NODES], processes[NODES], port_count, process_count;
static int opened, window, sending, poller;
static long token_count, text_count, sent, head;
static float *latencies; /* of acknowledgements, in milliseconds */
static long samples;
static unsigned char buffer[BUFFER];

static void die(const char *format, ...) {
  va_list rest;
  va_start(rest, format);
  fputs("wsload: ", stderr);
  vfprintf(stderr, format, rest);
  fputc('\n', stderr);
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

static char **lines_of(const char *path, long *length) {
  FILE *file = fopen(path, "r");
  char **lines = NULL, line[16384];
  if (!file) die("cannot read %s: %s", path, strerror(errno));
  for (*length = 0; fgets(line, sizeof line, file); ++*length) {
    line[strcspn(line, "\r\n")] = 0;
    lines = realloc(lines, (*length + 1) * sizeof *lines);
    lines[*length] = strdup(line);
  }
  fclose(file);
  return lines;
}

/* ---- sending */

static void write_out(Peer *peer, const void *bytes, size_t length) {
  if (send(peer->fd, bytes, length, MSG_NOSIGNAL) != (ssize_t)length)
    die("the server does not take %zu bytes: %s", length, strerror(errno));
}

/* A frame is masked with zeros: legal, and no work. Returns its length. */
static size_t frame(unsigned char *to, int opcode, const void *payload, size_t length) {
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

/* As many messages as the window has room for, in one write. Ids sort by time, as a client's do. */
static void fill_window(Peer *peer) {
  static unsigned char out[WINDOW_MOST * 17000];
  char message[17000];
  size_t length = 0;
  double moment = now();
  while (sending && peer->sends && peer->unanswered < window) {
    int size = snprintf(message, sizeof message,
                        "{\"type\":\"send_message\",\"id\":\"%016llx\",\"room\":\"%s\",\"text\":\"%s\"}",
                        (unsigned long long)time(NULL) << 32 | sent, room, texts[sent % text_count]);
    length += frame(out + length, 1, message, size);
    peer->since[(peer->oldest + peer->unanswered++) % WINDOW_MOST] = moment;
    sent++;
  }
  if (length) write_out(peer, out, length);
}

/* ---- hearing */

static int begins(const unsigned char *text, size_t length, const char *start) {
  size_t size = strlen(start);
  return length >= size && !memcmp(text, start, size);
}

static long seq_in(const unsigned char *text, size_t length) {
  const unsigned char *found = memmem(text, length, "\"seq\":", 6);
  return found ? strtol((const char *)found + 6, NULL, 10) : -1;
}

static void hear_message(Peer *peer, const unsigned char *text, size_t length) {
  static size_t usual; /* where seq stood in the last one */
  if (!usual || usual + 6 >= length || memcmp(text + usual, "\"seq\":", 6)) {
    const unsigned char *found = memmem(text, length, "\"seq\":", 6);
    if (!found) die("a message without a seq: %.*s", (int)length, text);
    usual = found - text;
  }
  long seq = strtol((const char *)text + usual + 6, NULL, 10);
  count.heard++;
  count.disordered += seq != peer->seq + 1;
  peer->seq = seq;
  if (seq > head) head = seq;
}

static void hear_ack(Peer *peer) {
  if (samples < SAMPLES) latencies[samples++] = (now() - peer->since[peer->oldest]) * 1e3;
  peer->oldest = (peer->oldest + 1) % WINDOW_MOST;
  peer->unanswered--;
  count.acks++;
}

static void hear_hello(Peer *peer, const unsigned char *text, size_t length) {
  const unsigned char *mine = memmem(text, length, room, strlen(room));
  peer->seq = mine ? seq_in(mine, length - (mine - text)) : 0;
  if (peer->seq > head) head = peer->seq;
}

static void hear(Peer *peer, const unsigned char *text, size_t length) {
  if (begins(text, length, "{\"type\":\"message_sent\"")) {
    hear_message(peer, text, length);
  } else if (begins(text, length, "{\"type\":\"ack\"")) {
    hear_ack(peer);
  } else if (begins(text, length, "{\"type\":\"hello\"")) {
    hear_hello(peer, text, length);
  } else if (begins(text, length, "{\"type\":\"refused\"")) {
    if (!count.refused++) fprintf(stderr, "wsload: refused: %.*s\n", (int)length, text);
    peer->unanswered--, peer->oldest = (peer->oldest + 1) % WINDOW_MOST;
  }
}

static void lose(Peer *peer, const char *why, int length) {
  if (!count.closed++) fprintf(stderr, "wsload: closed: %.*s\n", length, why);
  close(peer->fd);
  peer->fd = -1, peer->sends = 0, peer->unanswered = 0;
}

static void take_frame(Peer *peer, int opcode, const unsigned char *payload, size_t length) {
  unsigned char pong[140];
  if (opcode == 1)
    hear(peer, payload, length);
  else if (opcode == 9)
    write_out(peer, pong, frame(pong, 10, payload, length));
  else if (opcode == 8)
    lose(peer, (const char *)payload + 2, length > 2 ? length - 2 : 0);
}

/* Whole frames are taken, the rest waits for its end. Server frames are not masked. */
static void take(Peer *peer, size_t have) {
  size_t at = 0;
  while (peer->fd >= 0 && have - at >= 2) {
    unsigned char *from = buffer + at;
    size_t length = from[1], start = 2;
    if (length == 126 && have - at >= 4) length = from[2] << 8 | from[3], start = 4;
    if (length == 127 && have - at >= 10) {
      length = (size_t)from[6] << 24 | from[7] << 16 | from[8] << 8 | from[9], start = 10;
    }
    if (have - at < start + length || (start == 2 && length >= 126)) break;
    take_frame(peer, from[0] & 15, from + start, length);
    at += start + length;
  }
  peer->have = have - at;
  peer->rest = realloc(peer->rest, peer->have + 1);
  memcpy(peer->rest, buffer + at, peer->have);
}

static void read_from(Peer *peer) {
  memcpy(buffer, peer->rest, peer->have);
  ssize_t more = recv(peer->fd, buffer + peer->have, BUFFER - peer->have - 1, MSG_DONTWAIT);
  if (more < 0 && errno == EAGAIN) return;
  if (more <= 0) {
    lose(peer, "without a word", 14);
    return;
  }
  buffer[peer->have + more] = 0;
  take(peer, peer->have + more);
  fill_window(peer);
}

static void hear_all(int milliseconds) {
  struct epoll_event events[512];
  int ready = epoll_wait(poller, events, 512, milliseconds);
  for (int at = 0; at < ready; at++)
    if (((Peer *)events[at].data.ptr)->fd >= 0) read_from(events[at].data.ptr);
}

/* ---- connecting, one after the other */

static void shake_hands(Peer *peer, const char *token) {
  char request[1024];
  int length = snprintf(request, sizeof request,
                        "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                        "Authorization: Bearer %s\r\n\r\n",
                        ports[opened % port_count], token);
  write_out(peer, request, length);
  char answer[4096];
  for (size_t have = 0; have < sizeof answer; have++) { /* byte by byte: what follows are frames already */
    if (recv(peer->fd, answer + have, 1, 0) != 1) die("no answer to the handshake");
    if (have > 3 && !memcmp(answer + have - 3, "\r\n\r\n", 4)) {
      if (memcmp(answer + 8, " 101", 4)) die("the handshake is refused: %.40s", answer);
      return;
    }
  }
  die("an endless handshake");
}

static void connect_peer(Peer *peer, const char *token) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(ports[opened % port_count])};
  struct timeval patience = {PATIENCE, 0};
  struct epoll_event readable = {EPOLLIN, {.ptr = peer}};
  int one = 1;
  inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  peer->fd = socket(AF_INET, SOCK_STREAM, 0);
  peer->seq = -1;
  setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  setsockopt(peer->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (connect(peer->fd, (void *)&address, sizeof address)) die("cannot connect: %s", strerror(errno));
  shake_hands(peer, token);
  epoll_ctl(poller, EPOLL_CTL_ADD, peer->fd, &readable);
  for (double end = now() + PATIENCE; peer->seq < 0; hear_all(100))
    if (peer->fd < 0 || now() > end) die("connection %d gets no hello", opened);
  opened++;
}

/* ---- one run */

static void hear_for(double seconds) {
  for (double end = now() + seconds; now() < end; hear_all(10)) {
  }
}

static int is_behind(const Peer *peer) { return peer->fd < 0 || peer->unanswered || peer->seq < head; }

static int behind(void) {
  int found = 0;
  for (int at = 0; at < opened; at++) found += is_behind(&peers[at]);
  return found;
}

static double cpu(void) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  return used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static double cpu_of(int process) {
  char path[64], stat[1024] = "";
  long user = 0, system = 0;
  snprintf(path, sizeof path, "/proc/%d/stat", process);
  FILE *file = fopen(path, "r");
  if (!file) return 0;
  const char *rest = fgets(stat, sizeof stat, file) ? strrchr(stat, ')') : NULL;
  if (rest) sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld", &user, &system);
  fclose(file);
  return (double)(user + system) / sysconf(_SC_CLK_TCK);
}

static double server_cpu(void) {
  double used = 0;
  for (int at = 0; at < process_count; at++) used += cpu_of(processes[at]);
  return used;
}

static int compare(const void *one, const void *other) {
  return (*(float *)one > *(float *)other) - (*(float *)one < *(float *)other);
}

static double latency(double share) { return samples ? latencies[(long)((samples - 1) * share)] : 0; }

static void talk(int senders, double warm, double seconds) {
  sending = 1;
  for (int at = 0; at < senders; at++) {
    peers[at].sends = 1;
    fill_window(&peers[at]);
  }
  hear_for(warm);
  Count before = count;
  double began = now(), worked = cpu(), served = server_cpu();
  samples = 0;
  hear_for(seconds);
  Count after = count;
  double took = now() - began;
  worked = cpu() - worked, served = server_cpu() - served;
  sending = 0;
  for (double end = now() + PATIENCE; behind() && now() < end;) hear_all(10);
  qsort(latencies, samples, sizeof *latencies, compare);
  printf("\"messages_s\": %.1f, \"deliveries_s\": %.1f, \"ack_p50_ms\": %.2f, \"ack_p99_ms\": %.2f, ",
         (after.acks - before.acks) / took, (after.heard - before.heard) / took, latency(0.5), latency(0.99));
  printf("\"load_cpu\": %.2f, \"server_cpu\": %.2f, ", worked / took, served / took);
}

static int numbers_of(const char *list, int *numbers) {
  int found = 0;
  for (char *end; *list && found < NODES; list = *end ? end + 1 : end) numbers[found++] = strtol(list, &end, 10);
  return found;
}

int main(int argc, char **argv) {
  if (argc != 11) die("PORTS PROCESSES TOKENS TEXTS ROOM CONNECTIONS SENDERS WINDOW WARM SECONDS");
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  port_count = numbers_of(argv[1], ports), process_count = numbers_of(argv[2], processes);
  tokens = lines_of(argv[3], &token_count), texts = lines_of(argv[4], &text_count);
  room = argv[5];
  int connections = atoi(argv[6]), senders = atoi(argv[7]);
  window = atoi(argv[8]);
  double warm = atof(argv[9]), seconds = atof(argv[10]), began = now();
  if (!port_count || connections > token_count || senders > connections || window > WINDOW_MOST || !text_count)
    die("more senders than connections, more connections than tokens, a window over %d, or no text", WINDOW_MOST);
  peers = calloc(connections, sizeof *peers);
  latencies = malloc(SAMPLES * sizeof *latencies);
  poller = epoll_create1(0);
  while (opened < connections) connect_peer(&peers[opened], tokens[opened]);
  printf("{\"connect_s\": %.2f, ", now() - began);
  hear_for(0.5);
  long first = head;
  if (seconds > 0) talk(senders, warm, seconds);
  printf("\"open\": %d, \"sent\": %ld, \"acknowledged\": %ld, \"logged\": %ld, \"heard\": %ld, \"refused\": %ld, "
         "\"closed\": %ld, \"disordered\": %ld, \"behind\": %d}\n",
         opened, sent, count.acks, head - first, count.heard, count.refused, count.closed, count.disordered, behind());
  fflush(stdout);
  struct pollfd input = {STDIN_FILENO, POLLIN, 0};
  while (seconds <= 0 && !poll(&input, 1, 0)) hear_all(50);
  return 0;
}
