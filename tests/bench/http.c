/* A load of HTTP requests: clients with kept connections, each of which asks again as soon as it is answered.
 *
 *     http PORTS PROCESSES TOKENS TEXTS CLIENTS WARM SECONDS send ROOM
 *     http PORTS PROCESSES TOKENS TEXTS CLIENTS WARM SECONDS get PATH
 *
 * Each client has a line of the file TOKENS for itself, and one connection. They ask for WARM seconds that do not count
 * and for SECONDS that do. `send` posts lines of the file TEXTS as messages to ROOM, where nobody else speaks: each has
 * to get a seq of its own, and `logged` says how many seqs there are from the first to the last of them. In PATH,
 * `{LOW-HIGH}` stands for a random number and `{line}` for a random line of TEXTS:
 *
 *     /api/list_messages?room=r&limit=50&before={1100-90000}      /api/search_messages?text={line}
 *
 * Every answer has to be 200 and whole. The messages of a page have to be as many as `limit` says, and to follow one
 * another up to `before`: the numbers are to be chosen so that there are as many. A search has to find something, so
 * the lines are to be chosen too. Prints one JSON object.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <strings.h>
#include <sys/epoll.h>

#include "load.h"

enum { CLIENTS_MOST = 1024, ANSWER = 1 << 20, FILLED = 4 * LINE + 64 };

typedef struct {
  int fd, asking;
  const char *token;
  double asked;
  long before; /* of the page that was asked for, or 0 */
  size_t have;
  char answer[ANSWER + 1]; /* as much of it as has come */
} Client;

typedef struct {
  int status;
  char *body;
  size_t length;
} Answer;

static Client *clients;
static const char *room, *path;
static int client_count, sending, measuring, searching;
static long asked, answered, refused, closed, disordered, limit, received;
static Latencies took;
static long *seqs; /* of the messages that were sent */
static long seq_count;

/* ---- asking */

/* Bytes that mean nothing else in a URL stay, the others are written as numbers. */
static size_t print_quoted(char *to, const char *line) {
  char *at = to;
  for (; *line; line++) at += sprintf(at, strchr(" %&+#=?\"\\", *line) || *line < 0 ? "%%%02X" : "%c", *line & 255);
  return at - to;
}

static long chance(long low, long high) { return low + (((long)rand() << 31) ^ rand()) % (high - low + 1); }

/* PATH with its blanks filled in; *number is the last random number of it. There is room for FILLED bytes. */
static void print_path(char *to, long *number) {
  const char *start = to;
  long low, high;
  int size;
  for (const char *from = path; *from; from += size) {
    size = 0;
    if (to - start > LINE) die("PATH becomes longer than %d bytes", LINE);
    if (sscanf(from, "{%ld-%ld}%n", &low, &high, &size) == 2 && size)
      to += sprintf(to, "%ld", *number = chance(low, high));
    else if (!strncmp(from, "{line}", 6))
      to += print_quoted(to, texts[chance(0, text_count - 1)]), size = 6;
    else
      *to++ = *from, size = 1;
  }
  *to = 0;
}

static int compose_get(char *to, size_t size, Client *client) {
  static char filled[FILLED];
  print_path(filled, &client->before);
  return snprintf(to, size, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n\r\n", filled,
                  client->token);
}

/* Keys sort by time, as a client's do. */
static int compose_send(char *to, size_t size, Client *client) {
  static char body[LINE + 100];
  int length = snprintf(body, sizeof body, "{\"room\":\"%s\",\"text\":\"%s\"}", room, texts[asked % text_count]);
  return snprintf(to, size,
                  "POST /api/send_message HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n"
                  "Content-Type: application/json\r\nIdempotency-Key: %016llx\r\nContent-Length: %d\r\n\r\n%s",
                  client->token, (unsigned long long)time(NULL) << 32 | asked, length, body);
}

static void ask(Client *client) {
  static char request[5 * LINE];
  size_t length = (room ? compose_send : compose_get)(request, sizeof request, client);
  if (length >= sizeof request) die("a request of %zu bytes is too long", length);
  client->asked = now(), client->have = 0, client->asking = 1;
  asked++;
  if (send(client->fd, request, length, MSG_NOSIGNAL) != (ssize_t)length)
    die("the server does not take %zu bytes: %s", length, strerror(errno));
}

/* ---- reading an answer */

/* What the header says, or NULL. The head ends with an empty line, and the name with a colon. */
static const char *header(const char *head, const char *end, const char *name) {
  for (const char *line = head; line < end; line = strstr(line, "\r\n") + 2)
    if (!strncasecmp(line, name, strlen(name))) return line + strlen(name) + strspn(line + strlen(name), " ");
  return NULL;
}

/* Moves the chunks together. Returns the length of the body, or -1 when its last chunk has not come. */
static long join_chunks(char *body, const char *end) {
  char *to = body, *from = body, *data;
  for (size_t size; (data = memmem(from, end - from, "\r\n", 2)); from = data + 2 + size + 2) {
    size = strtoul(from, NULL, 16);
    if ((size_t)(end - data) < size + 4) return -1;
    if (!size) return to - body;
    memmove(to, data + 2, size);
    to += size;
  }
  return -1;
}

/* Whether all of it is here. A chunked body is joined only then, so that it can be looked at again. */
static int is_whole(Client *client, Answer *found) {
  static char joined[ANSWER + 1];
  char *text = client->answer, *end = memmem(text, client->have, "\r\n\r\n", 4);
  if (!end) return 0;
  const char *length = header(text, end, "content-length:"), *coding = header(text, end, "transfer-encoding:");
  size_t came = text + client->have - (end + 4);
  *found = (Answer){atoi(text + 9), end + 4, length ? strtoul(length, NULL, 10) : 0};
  if (!length && coding) {
    long size = join_chunks(memcpy(joined, end + 4, came), joined + came);
    *found = (Answer){found->status, joined, size};
    return size >= 0;
  }
  if (!length) die("an answer of unknown length: %.*s", (int)(end - text), text);
  if (came > found->length) die("%zu bytes behind the end of an answer", came - found->length);
  return came == found->length;
}

/* ---- judging it */

static long seq_after(const char *text) { return strtol(text + strlen("{\"seq\":"), NULL, 10); }

/* As many as were asked for, one behind the other, up to the one before which they were asked for. */
static int is_sound_page(const Client *client, char *body) {
  long count = 0, last = 0;
  for (char *at = body; (at = strstr(at, "{\"seq\":")); at++) {
    if (last && seq_after(at) != last + 1) return 0;
    last = seq_after(at), count++;
  }
  return (!limit || count == limit) && (!client->before || last == client->before - 1);
}

static int is_sound(const Client *client, Answer answer) {
  if (answer.length < 2 || answer.body[0] != '{' || answer.body[answer.length - 1] != '}') return 0;
  answer.body[answer.length] = 0;
  const char *seq = strstr(answer.body, "\"seq\":");
  if (!room) return searching ? seq != NULL : !limit || is_sound_page(client, answer.body);
  if (seq && seq_count < SAMPLES) seqs[seq_count++] = strtol(seq + 6, NULL, 10);
  return seq != NULL;
}

static void take(Client *client, Answer answer) {
  if (measuring) sample(&took, now() - client->asked);
  client->asking = 0;
  answered++;
  if (answer.status != 200) {
    if (!refused++) fprintf(stderr, "http: refused: %d %.*s\n", answer.status, (int)answer.length, answer.body);
  } else if (!is_sound(client, answer)) {
    if (!disordered++) fprintf(stderr, "http: not what was asked for: %.300s\n", answer.body);
  }
  if (sending) ask(client);
}

static void lose(Client *client) {
  if (!closed++) fprintf(stderr, "http: a connection was closed, %zu bytes into an answer\n", client->have);
  close(client->fd);
  client->fd = -1;
}

static void read_from(Client *client) {
  Answer answer;
  ssize_t more = recv(client->fd, client->answer + client->have, ANSWER - client->have, MSG_DONTWAIT);
  if (more < 0 && errno == EAGAIN) return;
  if (more <= 0) {
    if (client->have == ANSWER) die("an answer of more than %d bytes", ANSWER);
    lose(client);
    return;
  }
  client->have += more, received += more;
  client->answer[client->have] = 0;
  if (is_whole(client, &answer)) take(client, answer);
}

/* ---- one run */

static void hear_all(int milliseconds) {
  struct epoll_event events[64];
  int ready = epoll_wait(poller, events, 64, milliseconds);
  for (int at = 0; at < ready; at++) read_from(events[at].data.ptr);
}

static int behind(void) {
  int found = 0;
  for (int at = 0; at < client_count; at++) found += clients[at].asking;
  return found;
}

static void connect_client(Client *client, int number) {
  int port = ports[number % port_count];
  struct epoll_event readable = {EPOLLIN, {.ptr = client}};
  client->fd = dial(port), client->token = tokens[number];
  struct pollfd writable = {client->fd, POLLOUT, 0};
  if (poll(&writable, 1, PATIENCE * 1000) != 1) die("no connection to port %d within %d s", port, PATIENCE);
  must_stand(client->fd, port);
  epoll_ctl(poller, EPOLL_CTL_ADD, client->fd, &readable);
}

static int compare_seqs(const void *one, const void *other) {
  return (*(long *)one > *(long *)other) - (*(long *)one < *(long *)other);
}

/* How often two messages got one seq. Leaves the seqs in order. */
static long doubled(void) {
  long found = 0;
  qsort(seqs, seq_count, sizeof *seqs, compare_seqs);
  for (long at = 1; at < seq_count; at++) found += seqs[at] == seqs[at - 1];
  return found;
}

static void print_figures(long count, long bytes, Spent used) {
  printf("{\"answers_s\": %.1f, \"answers\": %ld, \"received_mb_s\": %.1f, ", count / used.clock, count,
         bytes / used.clock / 1e6);
  print_cpu(used);
  print_latencies("answer", &took);
  long twice = doubled(), logged = seq_count ? seqs[seq_count - 1] - seqs[0] + 1 : 0;
  printf(
      "\"asked\": %ld, \"answered\": %ld, \"logged\": %ld, \"doubled\": %ld, \"refused\": %ld, \"closed\": %ld, "
      "\"disordered\": %ld, \"behind\": %d}\n",
      asked, answered, logged, twice, refused, closed, disordered, behind());
}

static void run(double warm, double seconds) {
  sending = 1;
  for (int at = 0; at < client_count; at++) ask(&clients[at]);
  hear_for(warm);
  long count = answered, bytes = received;
  Spent began = spent();
  measuring = 1;
  hear_for(seconds);
  measuring = sending = 0;
  Spent used = since(began);
  count = answered - count, bytes = received - bytes;
  for (double end = now() + PATIENCE; behind() && now() < end;) hear_all(10);
  print_figures(count, bytes, used);
}

static void read_arguments(char **words) {
  read_place(words);
  client_count = atoi(words[5]);
  if (client_count < 1 || client_count > CLIENTS_MOST || client_count > token_count)
    die("CLIENTS is %d; it may be 1 to %d, and no more than the %ld tokens", client_count, CLIENTS_MOST, token_count);
  if (strcmp(words[8], "send") && strcmp(words[8], "get")) die("%s is neither send nor get", words[8]);
  if (!strcmp(words[8], "send")) {
    room = words[9];
  } else {
    path = words[9];
    searching = strstr(path, "search_messages") != NULL;
    const char *wanted = strstr(path, "list_messages") ? strstr(path, "limit=") : NULL;
    limit = wanted ? atol(wanted + 6) : 0;
  }
}

int main(int argc, char **argv) {
  if (argc != 10) die("PORTS PROCESSES TOKENS TEXTS CLIENTS WARM SECONDS send ROOM, or get PATH at the end");
  raise_file_limit();
  read_arguments(argv);
  took = latencies();
  seqs = malloc(SAMPLES * sizeof *seqs);
  clients = calloc(client_count, sizeof *clients);
  poller = epoll_create1(0);
  for (int at = 0; at < client_count; at++) connect_client(&clients[at], at);
  run(atof(argv[6]), atof(argv[7]));
  return 0;
}
