/* A load for coming back: clients that were away while others talked return all at once, and want what they missed.
 *
 *     resume PORTS PROCESSES TOKENS TEXTS CLIENTS SENDERS MESSAGES
 *
 * The first CLIENTS lines of the file TOKENS are the clients', the next SENDERS the others'. The clients connect, note
 * how far their rooms are, and go. The others send MESSAGES in all, lines of the file TEXTS, each to its rooms in turn.
 * Then the clients connect again, all in the same moment, and ask for what is behind the seqs they noted. Each has to
 * get every message it missed once, in the order of seq and up to the seq that hello names, and then `caught_up`, for
 * each of its rooms. Prints one JSON object: `hello` is from the moment of the return to a client's hello, `caught_up`
 * to its last `caught_up`.
 *
 * The chat answers `reset` instead to those who missed more than 1,000 messages of a room, or 5,000 in all.
 */
#define _GNU_SOURCE
#include "rooms.h"

enum { WINDOW = 8, EPOCH = 64 };

typedef struct {
  Member member;
  long *wanted;               /* of each seat: the seq to catch up with, or -1 when that is told already */
  int left, unanswered, next; /* seats that are not caught up; and of a sender, messages and the next seat's turn */
} Peer;

static enum { NOTING, TALKING, RETURNING } phase;
static Peer *clients, *senders;
static int client_count, sender_count, done;
static long wanted_messages, sent, acks, heard, resets;
static char epoch[EPOCH + 1];
static double returned; /* when the clients came back */
static Latencies greeting, catching_up;

/* ---- the others talk */

static void fill_window(Peer *peer) {
  while (peer->unanswered < WINDOW && sent < wanted_messages && peer->member.wire.state == OPEN) {
    peer->unanswered++;
    send_message(&peer->member, peer->member.seats[peer->next].room, sent++);
    peer->next = (peer->next + 1) % peer->member.seat_count;
  }
}

static void hear_ack(Peer *peer, const unsigned char *text, size_t length) {
  Seat *seat = seat_for(&peer->member, text, length);
  name_seq(&rooms[seat->room], seq_in(text, length));
  peer->unanswered--;
  acks++;
}

/* ---- the clients come back */

static void note_epoch(const unsigned char *hello, size_t length) {
  const unsigned char *value = value_of("\"epoch\":\"", hello, length);
  if (!value) die("a hello without an epoch: %.*s", (int)length, hello);
  snprintf(epoch, sizeof epoch, "%.*s", (int)strcspn((const char *)value, "\""), value);
}

/* From the seqs that were noted to those which this hello names; it may not have forgotten what was acknowledged. */
static void ask_for_missed(Peer *peer, const unsigned char *hello, size_t length) {
  static char text[1 << 16];
  size_t at = snprintf(text, sizeof text, "{\"type\":\"resume\",\"epoch\":\"%s\",\"rooms\":{", epoch);
  Member now_there = {0};
  take_seats(&now_there, hello, length);
  peer->left = peer->member.seat_count;
  if (now_there.seat_count != peer->left) die("somebody was in %d rooms, is in %d", peer->left, now_there.seat_count);
  peer->wanted = calloc(peer->left, sizeof *peer->wanted);
  for (int seat = 0; seat < peer->left; seat++) {
    const Seat *noted = &peer->member.seats[seat], *present = &now_there.seats[seat];
    disordered += present->room != noted->room || present->seq < rooms[noted->room].head;
    peer->wanted[seat] = present->seq;
    at += snprintf(text + at, sizeof text - at, "%s\"%s\":%ld", seat ? "," : "", rooms[noted->room].id, noted->seq);
    if (at > sizeof text - ROOM_ID - 40) die("too many rooms for one frame");
  }
  at += snprintf(text + at, sizeof text - at, "}}");
  say(&peer->member.wire, text, at);
  free(now_there.seats);
}

static void finish(Peer *peer, Seat *seat) {
  long *wanted = &peer->wanted[seat - peer->member.seats];
  disordered += *wanted < 0;
  *wanted = -1;
  if (--peer->left) return;
  sample(&catching_up, moment - returned);
  done++;
}

static void hear_caught_up(Peer *peer, const unsigned char *text, size_t length) {
  Seat *seat = seat_for(&peer->member, text, length);
  long wanted = peer->wanted[seat - peer->member.seats];
  disordered += seat->seq != wanted || seq_in(text, length) != wanted;
  finish(peer, seat);
}

static void hear_reset(Peer *peer, const unsigned char *text, size_t length) {
  if (!resets++) fprintf(stderr, "resume: reset: %.*s\n", (int)length, text);
  finish(peer, seat_for(&peer->member, text, length));
}

static void hear_missed(Peer *peer, const unsigned char *text, size_t length) {
  hear_message(seat_for(&peer->member, text, length), text, length);
  heard++;
}

/* ---- what the wire tells */

static void hear_hello(Peer *peer, const unsigned char *text, size_t length) {
  greeted(&peer->member.wire);
  if (phase != RETURNING) {
    note_epoch(text, length);
    take_seats(&peer->member, text, length);
    if (!peer->member.seat_count) die("somebody is in no room");
  } else {
    sample(&greeting, moment - returned);
    ask_for_missed(peer, text, length);
  }
}

static void on_text(Wire *wire, const unsigned char *text, size_t length) {
  Peer *peer = (Peer *)wire;
  if (begins(text, length, "{\"type\":\"message_sent\"")) {
    if (phase == RETURNING) hear_missed(peer, text, length);
  } else if (begins(text, length, "{\"type\":\"caught_up\"")) {
    hear_caught_up(peer, text, length);
  } else if (begins(text, length, "{\"type\":\"hello\"")) {
    hear_hello(peer, text, length);
  } else if (begins(text, length, "{\"type\":\"ack\"")) {
    hear_ack(peer, text, length);
  } else if (begins(text, length, "{\"type\":\"reset\"")) {
    hear_reset(peer, text, length);
  } else if (begins(text, length, "{\"type\":\"refused\"")) {
    hear_refusal(text, length);
  }
}

static void on_pause(Wire *wire) {
  if (phase == TALKING) fill_window((Peer *)wire);
}

static void on_open(Wire *wire) { (void)wire; }
static void on_lost(Wire *wire) { (void)wire; }

/* ---- one run */

static void come(Peer *peers, int count, int first, int together) {
  for (int at = 0; at < count; at++) {
    reach(&peers[at].member.wire, at, tokens[first + at]);
    await(together - 1);
  }
}

static void go(Peer *peers, int count) {
  unsigned char farewell[16];
  for (int at = 0; at < count; at++) {
    Wire *wire = &peers[at].member.wire;
    if (wire->state != OPEN) die("somebody was sent away");
    write_out(wire, farewell, frame(farewell, 8, "\x03\xe9", 2)); /* 1001: going away */
    close(wire->fd);
    wire->state = AWAY;
  }
}

static void talk(void) {
  come(senders, sender_count, client_count, TOGETHER);
  await(0);
  phase = TALKING;
  for (int at = 0; at < sender_count; at++) fill_window(&senders[at]);
  for (double end = now() + 60; acks < wanted_messages && now() < end && !refused;) hear_all(10);
  if (acks < wanted_messages) die("of %ld messages, %ld were acknowledged", wanted_messages, acks);
  go(senders, sender_count);
}

static void come_back(void) {
  phase = RETURNING;
  opened = 0;
  long before = received;
  Spent began = spent();
  returned = now();
  come(clients, client_count, 0, client_count + 1);
  for (double end = now() + PATIENCE; done < client_count && now() < end;) hear_all(10);
  Spent took = since(began);
  print_cpu(took);
  print_latencies("hello", &greeting), print_latencies("caught_up", &catching_up);
  printf("\"took_s\": %.3f, \"received_mb\": %.2f, ", took.clock, (received - before) / 1e6);
}

static long missed(void) {
  long all = 0;
  for (int at = 0; at < client_count; at++)
    for (int seat = 0; seat < clients[at].member.seat_count; seat++) {
      const Room *room = &rooms[clients[at].member.seats[seat].room];
      all += room->head - room->first;
    }
  return all;
}

int main(int argc, char **argv) {
  if (argc != 8) die("PORTS PROCESSES TOKENS TEXTS CLIENTS SENDERS MESSAGES");
  raise_file_limit();
  read_place(argv);
  client_count = atoi(argv[5]), sender_count = atoi(argv[6]), wanted_messages = atol(argv[7]);
  if (client_count < 1 || sender_count < 1 || client_count + sender_count > token_count)
    die("%d clients and %d senders, and %ld tokens", client_count, sender_count, token_count);
  clients = calloc(client_count, sizeof *clients), senders = calloc(sender_count, sizeof *senders);
  greeting = latencies(), catching_up = latencies();
  poller = epoll_create1(0);
  come(clients, client_count, 0, TOGETHER);
  await(0);
  go(clients, client_count);
  hear_for(0.5);
  talk();
  hear_for(0.5);
  printf("{");
  come_back();
  printf(
      "\"open\": %d, \"sent\": %ld, \"acknowledged\": %ld, \"caught_up\": %d, \"heard\": %ld, \"to_hear\": %ld, "
      "\"resets\": %ld, \"refused\": %ld, \"closed\": %ld, \"disordered\": %ld, \"behind\": %d}\n",
      opened, sent, acks, done, heard, missed(), resets, refused, closed, disordered, client_count - done);
  return 0;
}
