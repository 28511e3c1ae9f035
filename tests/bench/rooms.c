/* A load for many small rooms: everybody says something now and then.
 *
 *     rooms PORTS PROCESSES TOKENS TEXTS CONNECTIONS RATE WARM SECONDS
 *
 * Each connection has a line of the file TOKENS for itself; its account's rooms are those that hello names. RATE
 * messages a second in all, with lines of the file TEXTS, are sent by anybody to any room of theirs, independently of
 * one another (a Poisson process) and of how soon the server answers: a message is sent when it is due, or as soon as
 * it can be, and what it takes is counted from when it was due. For WARM seconds they do not count, for SECONDS they
 * do. Every socket has to hear every message of its rooms once, in the order of seq. Prints one JSON object: `heard` is
 * from when a message was due to its hearing by the last one in the room, `late` to its sending.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <sys/prctl.h>

#include "rooms.h"

enum { ASKED = 1 << 22 };

static const double TICK = 1e-5; /* seconds; when messages are due is drawn from these */

typedef struct {
  double due;
  int member, room; /* their places */
  int acknowledged;
} Asked;

typedef struct {
  double due, last; /* `last` when it was heard last */
  int heard;
} Message;

/* The messages of a room, by their place behind the seq that it had at first. */
typedef struct {
  Message *messages;
  long space;
} Told;

static Member *members;
static int connections;
static Asked *asked;
static Told *told;
static long sent, acks, heard;
static Latencies acked, completed, late;
static double from, to; /* a message that is due then is measured */

static int is_measured(double due) { return due >= from && due < to; }

static Message *message_of(int room, long seq) {
  Told *all = &told[room];
  long place = seq - rooms[room].first - 1;
  if (place < 0 || place >= ASKED) die("room %s is at %ld, which nobody can have sent", rooms[room].id, seq);
  while (place >= all->space) {
    long space = all->space ? 2 * all->space : 64;
    all->messages = realloc(all->messages, space * sizeof *all->messages);
    memset(all->messages + all->space, 0, (space - all->space) * sizeof *all->messages);
    all->space = space;
  }
  return &all->messages[place];
}

/* ---- hearing */

static void hear(Member *member, const unsigned char *text, size_t length) {
  Seat *seat = seat_for(member, text, length);
  Message *message = message_of(seat->room, hear_message(seat, text, length));
  message->heard++, message->last = moment;
  heard++;
}

/* Each message has one acknowledgement, by the one who sent it, and a seq of its own. */
static void hear_ack(Member *member, const unsigned char *text, size_t length) {
  long number = number_in(text, length), seq = seq_in(text, length);
  if (number >= sent) die("an answer to nothing that was asked: %.*s", (int)length, text);
  Asked *mine = &asked[number];
  Message *message = message_of(mine->room, seq);
  disordered += mine->acknowledged++ || message->due > 0 || member != &members[mine->member];
  message->due = mine->due;
  name_seq(&rooms[mine->room], seq);
  acks++;
  if (is_measured(mine->due)) sample(&acked, moment - mine->due);
}

static void hear_hello(Member *member, const unsigned char *text, size_t length) {
  take_seats(member, text, length);
  for (int at = 0; at < member->seat_count; at++) rooms[member->seats[at].room].members++;
  greeted(&member->wire);
}

static void on_text(Wire *wire, const unsigned char *text, size_t length) {
  if (begins(text, length, "{\"type\":\"message_sent\""))
    hear((Member *)wire, text, length);
  else if (begins(text, length, "{\"type\":\"ack\""))
    hear_ack((Member *)wire, text, length);
  else if (begins(text, length, "{\"type\":\"hello\""))
    hear_hello((Member *)wire, text, length);
  else if (begins(text, length, "{\"type\":\"refused\""))
    hear_refusal(text, length);
}

static void on_open(Wire *wire) { (void)wire; }
static void on_pause(Wire *wire) { (void)wire; }
static void on_lost(Wire *wire) { (void)wire; }

/* ---- sending */

/* Somebody who is connected and in a room, or NULL when there is hardly anybody left. */
static Member *anybody(void) {
  for (int tries = 0; tries < 1000; tries++) {
    Member *member = &members[rand() % connections];
    if (member->wire.state == OPEN && member->seat_count) return member;
  }
  return NULL;
}

static void send_due(double due) {
  Member *member = anybody();
  if (!member) die("nobody is connected, or in a room");
  int room = member->seats[rand() % member->seat_count].room;
  asked[sent] = (Asked){.due = due, .member = member - members, .room = room};
  if (is_measured(due)) sample(&late, now() - due);
  send_message(member, room, sent++);
}

/* Waits more finely than in milliseconds. */
static void hear_until(double end) {
  struct pollfd ready = {poller, POLLIN, 0};
  for (double left; (left = end - now()) > 0;) {
    struct timespec time = {left, (left - (long)left) * 1e9};
    if (ppoll(&ready, 1, &time, NULL) > 0) hear_all(0);
  }
}

static void send_until(double end, double rate) {
  double due = now();
  for (;;) {
    do due += TICK;
    while (rand() > rate * TICK * RAND_MAX);
    if (due >= end) break;
    hear_until(due);
    send_due(due);
    if (sent % 8 == 0) hear_all(0); /* also when everything is late */
  }
  hear_until(end);
}

/* ---- one run */

static int is_behind(const Member *member) {
  int found = member->wire.state != OPEN;
  for (int at = 0; at < member->seat_count; at++) found |= member->seats[at].seq < rooms[member->seats[at].room].head;
  return found;
}

static int behind(void) {
  int found = 0;
  for (int at = 0; at < connections; at++) found += is_behind(&members[at]);
  return found;
}

/* Messages that were not heard by each member of the room once, or that nobody sent. */
static long judge(void) {
  long wrong = 0;
  for (int room = 0; room < room_count; room++) {
    for (long seq = rooms[room].first + 1; seq <= rooms[room].head; seq++) {
      const Message *message = message_of(room, seq);
      wrong += message->heard != rooms[room].members || message->due <= 0;
      if (is_measured(message->due)) sample(&completed, message->last - message->due);
    }
  }
  return wrong;
}

static long logged(void) {
  long all = 0;
  for (int at = 0; at < room_count; at++) all += rooms[at].head - rooms[at].first;
  return all;
}

static long due_deliveries(void) {
  long all = 0;
  for (int at = 0; at < room_count; at++) all += (rooms[at].head - rooms[at].first) * rooms[at].members;
  return all;
}

static void run(double rate, double warm, double seconds) {
  double start = now();
  from = start + warm, to = from + seconds;
  send_until(from, rate);
  Spent began = spent();
  long acks_before = acks, heard_before = heard;
  send_until(to, rate);
  Spent took = since(began);
  long acks_after = acks, heard_after = heard;
  for (double end = now() + PATIENCE; (acks + refused < sent || behind()) && now() < end;) hear_all(10);
  long wrong = judge();
  printf("\"messages_s\": %.1f, \"deliveries_s\": %.1f, \"deliveries\": %ld, ", (acks_after - acks_before) / took.clock,
         (heard_after - heard_before) / took.clock, heard_after - heard_before);
  print_cpu(took);
  print_latencies("ack", &acked), print_latencies("heard", &completed), print_latencies("late", &late);
  printf("\"wrong\": %ld, ", wrong);
}

int main(int argc, char **argv) {
  if (argc != 9) die("PORTS PROCESSES TOKENS TEXTS CONNECTIONS RATE WARM SECONDS");
  raise_file_limit();
  prctl(PR_SET_TIMERSLACK, 1000);
  read_place(argv);
  connections = atoi(argv[5]);
  double rate = atof(argv[6]), warm = atof(argv[7]), seconds = atof(argv[8]), began = now();
  if (connections < 1 || connections > token_count) die("%d connections, and %ld tokens", connections, token_count);
  if (rate <= 0 || rate * TICK > 0.5 || rate * (warm + seconds) * 2 > ASKED)
    die("RATE is %g; it may be up to %g, and %d messages in all", rate, 0.5 / TICK, ASKED / 2);
  members = calloc(connections, sizeof *members);
  asked = malloc(ASKED * sizeof *asked);
  acked = latencies(), completed = latencies(), late = latencies();
  poller = epoll_create1(0);
  for (int at = 0; at < connections; at++) {
    reach(&members[at].wire, at, tokens[at]);
    await(TOGETHER - 1);
  }
  await(0);
  told = calloc(room_count, sizeof *told);
  printf("{\"connect_s\": %.2f, \"rooms\": %d, ", now() - began, room_count);
  hear_for(0.5);
  run(rate, warm, seconds);
  printf(
      "\"open\": %d, \"sent\": %ld, \"acknowledged\": %ld, \"logged\": %ld, \"heard\": %ld, \"to_hear\": %ld, "
      "\"refused\": %ld, \"closed\": %ld, \"disordered\": %ld, \"behind\": %d}\n",
      opened, sent, acks, logged(), heard, due_deliveries(), refused, closed, disordered, behind());
  return 0;
}
