/* A load for one room: some of those who are in it talk, and all of them hear it.
 *
 *     talk DIALECT PORTS PROCESSES TOKENS TEXTS ROOM CONNECTIONS SENDERS WINDOW WARM SECONDS
 *
 * Each connection has a line of the file TOKENS for itself. The first SENDERS of them send lines of the file TEXTS to
 * ROOM, each with WINDOW messages unanswered, for WARM seconds that do not count and SECONDS that do. Every socket has
 * to hear every message once and in order; that is checked to the end, after the last message was sent. PORTS and
 * PROCESSES are the server's, or those of several nodes with commas between. Prints one JSON object.
 *
 * With 0 seconds it connects, prints it, stays connected until its standard input is closed, and prints another one.
 *
 * DIALECT is `chat`, whose order is that of seq, behind the one that hello names; ROOM is the only room of these
 * accounts. One delivery of thirteen is compared with the text that was sent. `plain` and `socketio` are for peers that
 * know neither tokens nor rooms: there the text begins with a mark of the sender, the number of its message, and the
 * time, and the order is that of each sender. Frames are looked at by their beginning only: the chat writes the field
 * `type` first, and `seq` before anything that a person typed.
 */
#define _GNU_SOURCE
#include <poll.h>

#include "rooms.h"

enum { WINDOW_MOST = 64, SENDERS_MOST = 1 << 16, LOGGED = 1 << 23, STRIDE = 13 };

typedef struct {
  double at; /* when the message was sent, or 0 for none */
  long number;
} Asked;

typedef struct {
  double at;
  long seq;
  unsigned long text; /* its fingerprint */
} Hearing;

typedef struct {
  Wire wire;
  int sends, unanswered, oldest;
  long seq, heard;          /* of the last message, and how many; seq is hello's before the first one */
  Asked asked[WINDOW_MOST]; /* the unanswered, the oldest at `oldest` */
  unsigned sent, *next; /* messages of its own, and what each sender's next one is numbered */
} Peer;

typedef struct {
  const char *name, *path;
  void (*open)(Peer *peer);
  void (*hear)(Peer *peer, const unsigned char *text, size_t length);
  int (*compose)(char *to, size_t size, const Peer *peer, double at);
} Dialect;

typedef struct {
  long acks, heard, received;
} Count;

static Peer *peers;
static const Dialect *dialect;
static const char *room;
static int connections, senders, window, sending, measuring;
static long sent, acks, heard, wrong, head, first;
static Latencies acked, told; /* from sending a message to its acknowledgement, and to hearing it */
static Asked *logged;         /* by seq, from the one behind `first`; the chat's alone */
static Hearing *hearings;     /* samples, whose acknowledgement may come later */
static long hearing_count;

/* ---- sending */

/* As many messages as the window has room for, in one write. */
static void fill_window(Peer *peer) {
  static unsigned char out[WINDOW_MOST * (LINE + 512)];
  char message[LINE + 500];
  size_t length = 0;
  double at = now();
  while (sending && peer->sends && peer->unanswered < window) {
    int size = dialect->compose(message, sizeof message, peer, at);
    length += frame(out + length, 1, message, size);
    int slot = (peer->oldest + peer->unanswered++) % WINDOW_MOST;
    peer->asked[slot] = (Asked){at, sent++};
    peer->sent++;
  }
  if (length) write_out(&peer->wire, out, length);
}

static Asked answered(Peer *peer) {
  Asked oldest = peer->asked[peer->oldest];
  if (!peer->unanswered) die("an answer to nothing that was asked");
  peer->oldest = (peer->oldest + 1) % WINDOW_MOST;
  peer->unanswered--;
  return oldest;
}

static void acknowledge(Asked asked) {
  if (measuring) sample(&acked, moment - asked.at);
  acks++;
}

/* Where a key stood in the last frame, it mostly stands in the next one. Returns what is behind it. */
static inline const unsigned char *behind_key(const char *key, size_t *usual, const unsigned char *text,
                                              size_t length) {
  size_t size = strlen(key);
  if (*usual + size >= length || memcmp(text + *usual, key, size)) {
    const unsigned char *found = memmem(text, length, key, size);
    if (!found) die("a message without %s: %.*s", key, (int)length, text);
    *usual = found - text;
  }
  return text + *usual + size;
}

/* ---- the chat's frames */

static int compose_chat(char *to, size_t size, const Peer *peer, double at) {
  (void)peer, (void)at;
  return compose_message(to, size, room, sent);
}

/* Of a text up to its end or the quote behind it. */
static unsigned long fingerprint(const unsigned char *text) {
  unsigned long sum = 0;
  for (; *text && *text != '"'; text++) sum = (sum ^ *text) * 1099511628211u;
  return sum;
}

static void hear_sent(Peer *peer, const unsigned char *text, size_t length) {
  static size_t usual_seq, usual_text;
  long seq = number_at(behind_key("\"seq\":", &usual_seq, text, length));
  disordered += seq != peer->seq + 1;
  peer->seq = seq;
  peer->heard++, heard++;
  if (seq > head) head = seq;
  if (measuring && heard % STRIDE == 0 && hearing_count < SAMPLES)
    hearings[hearing_count++] =
        (Hearing){moment, seq, fingerprint(behind_key("\"text\":\"", &usual_text, text, length))};
}

/* It has to be of the oldest message that waits for one, and of a seq that no other message got. */
static void hear_ack(Peer *peer, const unsigned char *text, size_t length) {
  Asked mine = answered(peer);
  long seq = seq_in(text, length), place = seq - first - 1;
  if (number_in(text, length) != mine.number || place < 0)
    disordered++;
  else if (place < LOGGED)
    disordered += logged[place].at > 0, logged[place] = mine;
  if (seq > head) head = seq;
  acknowledge(mine);
}

static void hear_hello(Peer *peer, const unsigned char *text, size_t length) {
  const unsigned char *mine = memmem(text, length, room, strlen(room));
  peer->seq = mine ? seq_in(mine, length - (mine - text)) : 0;
  if (peer->seq > head) head = peer->seq;
  greeted(&peer->wire);
}

static void hear_chat(Peer *peer, const unsigned char *text, size_t length) {
  if (begins(text, length, "{\"type\":\"message_sent\"")) {
    hear_sent(peer, text, length);
  } else if (begins(text, length, "{\"type\":\"ack\"")) {
    hear_ack(peer, text, length);
  } else if (begins(text, length, "{\"type\":\"hello\"")) {
    hear_hello(peer, text, length);
  } else if (begins(text, length, "{\"type\":\"refused\"")) {
    hear_refusal(text, length);
    answered(peer);
  }
}

/* ---- the peers' frames */

enum { SENDER = 4, NUMBER = 8, TIME = 14, MARK = SENDER + NUMBER + TIME };

static int print_mark(char *to, size_t size, const Peer *peer, double at) {
  return snprintf(to, size, "%04x%08x%014llx", (unsigned)(peer - peers), peer->sent, (unsigned long long)(at * 1e6));
}

static int compose_marked(const char *form, char *to, size_t size, const Peer *peer, double at) {
  char mark[MARK + 1];
  print_mark(mark, sizeof mark, peer, at);
  return snprintf(to, size, form, mark, texts[sent % text_count]);
}

static int compose_plain(char *to, size_t size, const Peer *peer, double at) {
  return compose_marked("{\"type\":\"send\",\"text\":\"%s %s\"}", to, size, peer, at);
}

static int compose_socketio(char *to, size_t size, const Peer *peer, double at) {
  return compose_marked("42[\"send\",\"%s %s\"]", to, size, peer, at);
}

static unsigned long long hexadecimal(const unsigned char *text, int digits) {
  unsigned long long number = 0;
  for (; digits--; text++) number = number << 4 | ((*text & 15) + (*text >> 6) * 9);
  return number;
}

static void hear_marked(Peer *peer, const unsigned char *mark, size_t length) {
  unsigned sender = length < MARK ? SENDERS_MOST : hexadecimal(mark, SENDER);
  if (sender >= (unsigned)senders) die("a message of nobody: %.*s", (int)length, mark);
  unsigned number = hexadecimal(mark + SENDER, NUMBER);
  disordered += number != peer->next[sender];
  peer->next[sender] = number + 1;
  peer->heard++, heard++;
  if (measuring && heard % STRIDE == 0) sample(&told, moment - hexadecimal(mark + SENDER + NUMBER, TIME) / 1e6);
}

static void hear_plain(Peer *peer, const unsigned char *text, size_t length) {
  static size_t usual;
  if (begins(text, length, "{\"type\":\"message\",")) {
    const unsigned char *mark = behind_key("\"text\":\"", &usual, text, length);
    hear_marked(peer, mark, length - (mark - text));
  } else if (begins(text, length, "{\"type\":\"ack\"")) {
    acknowledge(answered(peer));
  } else {
    die("a frame that is neither a message nor an ack: %.*s", (int)length, text);
  }
}

static void hear_socketio(Peer *peer, const unsigned char *text, size_t length) {
  static const char message[] = "42[\"message\",{\"text\":\"";
  if (begins(text, length, message))
    hear_marked(peer, text + sizeof message - 1, length - (sizeof message - 1));
  else if (begins(text, length, "42[\"ack\"]"))
    acknowledge(answered(peer));
  else if (begins(text, length, "0{"))
    say(&peer->wire, "40", 2);
  else if (begins(text, length, "40"))
    greeted(&peer->wire);
  else if (begins(text, length, "2"))
    say(&peer->wire, "3", 1);
  else
    die("a frame that is neither a message nor an ack: %.*s", (int)length, text);
}

static void await_hello(Peer *peer) { (void)peer; }

static void need_no_hello(Peer *peer) { greeted(&peer->wire); }

static const Dialect DIALECTS[] = {
    {"chat", "/ws", await_hello, hear_chat, compose_chat},
    {"plain", "/ws", need_no_hello, hear_plain, compose_plain},
    {"socketio", "/socket.io/?EIO=4&transport=websocket", await_hello, hear_socketio, compose_socketio},
};

/* ---- what the wire tells */

static void on_open(Wire *wire) { dialect->open((Peer *)wire); }

static void on_text(Wire *wire, const unsigned char *text, size_t length) { dialect->hear((Peer *)wire, text, length); }

static void on_pause(Wire *wire) { fill_window((Peer *)wire); }

static void on_lost(Wire *wire) { ((Peer *)wire)->sends = ((Peer *)wire)->unanswered = 0; }

/* ---- one run */

static int is_chat(void) { return dialect == DIALECTS; }

static int is_behind(const Peer *peer) {
  return peer->wire.state != OPEN || peer->unanswered || (is_chat() ? peer->seq < head : peer->heard < sent);
}

static int behind(void) {
  int found = 0;
  for (int at = 0; at < connections; at++) found += is_behind(&peers[at]);
  return found;
}

static void resolve_hearings(void) {
  for (long at = 0; at < hearing_count; at++) {
    long place = hearings[at].seq - first - 1;
    if (place < 0 || place >= LOGGED || !logged[place].at) continue;
    sample(&told, hearings[at].at - logged[place].at);
    wrong += hearings[at].text != fingerprint((unsigned char *)texts[logged[place].number % text_count]);
  }
}

static Count count(void) { return (Count){acks, heard, received}; }

static void print_figures(Count before, Count after, Spent took) {
  printf("\"messages_s\": %.1f, \"deliveries_s\": %.1f, \"deliveries\": %ld, \"received_mb_s\": %.1f, ",
         (after.acks - before.acks) / took.clock, (after.heard - before.heard) / took.clock, after.heard - before.heard,
         (after.received - before.received) / took.clock / 1e6);
  print_cpu(took);
  print_latencies("ack", &acked);
  print_latencies("heard", &told);
}

static void talk(double warm, double seconds) {
  sending = 1;
  for (int at = 0; at < senders; at++) {
    peers[at].sends = 1;
    fill_window(&peers[at]);
  }
  hear_for(warm);
  Count before = count();
  Spent began = spent();
  measuring = 1;
  hear_for(seconds);
  measuring = 0;
  Spent took = since(began);
  Count after = count();
  sending = 0;
  for (double end = now() + PATIENCE; behind() && now() < end;) hear_all(10);
  resolve_hearings();
  print_figures(before, after, took);
}

static void print_state(void) {
  long kept = is_chat() ? head - first : sent;
  printf(
      "\"open\": %d, \"sent\": %ld, \"acknowledged\": %ld, \"logged\": %ld, \"heard\": %ld, \"to_hear\": %ld, "
      "\"refused\": %ld, \"closed\": %ld, \"disordered\": %ld, \"wrong\": %ld, \"behind\": %d}\n",
      opened, sent, acks, kept, heard, kept * connections, refused, closed, disordered, wrong, behind());
}

static void stay(void) {
  struct pollfd input = {STDIN_FILENO, POLLIN, 0};
  print_state(), fflush(stdout);
  while (!poll(&input, 1, 0)) hear_all(50);
  printf("{");
}

static void connect_all(void) {
  peers = calloc(connections, sizeof *peers);
  for (int at = 0; at < connections; at++) {
    if (!is_chat()) peers[at].next = calloc(senders, sizeof *peers[at].next);
    reach(&peers[at].wire, at, is_chat() ? tokens[at] : "");
    await(TOGETHER - 1);
  }
  await(0);
}

static const Dialect *dialect_of(const char *name) {
  for (unsigned at = 0; at < sizeof DIALECTS / sizeof *DIALECTS; at++)
    if (!strcmp(DIALECTS[at].name, name)) return &DIALECTS[at];
  die("DIALECT is %s; it may be chat, plain or socketio", name);
  return NULL;
}

static void read_arguments(char **words) {
  dialect = dialect_of(words[1]);
  read_place(words + 1);
  path = dialect->path, room = words[6];
  connections = atoi(words[7]), senders = atoi(words[8]), window = atoi(words[9]);
  if (is_chat() && connections > token_count) die("%d connections, and %ld tokens", connections, token_count);
  if (senders > connections || senders >= SENDERS_MOST) die("%d senders, and %d connections", senders, connections);
  if (window < 1 || window > WINDOW_MOST) die("WINDOW is %d; it may be 1 to %d", window, WINDOW_MOST);
}

int main(int argc, char **argv) {
  if (argc != 12) die("DIALECT PORTS PROCESSES TOKENS TEXTS ROOM CONNECTIONS SENDERS WINDOW WARM SECONDS");
  raise_file_limit();
  read_arguments(argv);
  double warm = atof(argv[10]), seconds = atof(argv[11]), began = now();
  acked = latencies(), told = latencies();
  logged = calloc(LOGGED, sizeof *logged);
  hearings = malloc(SAMPLES * sizeof *hearings);
  poller = epoll_create1(0);
  connect_all();
  printf("{\"connect_s\": %.2f, ", now() - began);
  hear_for(0.5);
  first = head;
  if (seconds > 0)
    talk(warm, seconds);
  else
    stay();
  print_state();
  return 0;
}
