/* Which rooms somebody is in, and how far they were heard there: for loads that speak the chat's frames.
 *
 * Frames are looked at by their beginning only: the chat writes the field `type` first, and `room` and `seq` before
 * anything that a person typed.
 */
#ifndef ROOMS_H
#define ROOMS_H

#include "websocket.h"

enum { ROOM_ID = 64 };

typedef struct {
  char id[ROOM_ID + 1];
  size_t length;
  int members;      /* of those that are connected */
  long first, head; /* its seq when it was first heard of, and the highest one that was named since */
} Room;

typedef struct {
  int room; /* its place among `rooms` */
  long seq; /* of the last message heard, or as hello said */
} Seat;

typedef struct {
  Wire wire;
  Seat *seats;
  int seat_count;
} Member;

static Room *rooms;
static int room_count;
static long refused, disordered;

/* Behind the key, which stands in the frame with its quotes and colon, or NULL. */
static inline const unsigned char *value_of(const char *key, const unsigned char *text, size_t length) {
  const unsigned char *found = memmem(text, length, key, strlen(key));
  return found ? found + strlen(key) : NULL;
}

static inline long seq_in(const unsigned char *text, size_t length) {
  const unsigned char *seq = value_of("\"seq\":", text, length);
  if (!seq) die("no seq in %.*s", (int)length, text);
  return number_at(seq);
}

static inline int is_named(const Room *room, const unsigned char *id) {
  return !memcmp(room->id, id, room->length) && id[room->length] == '"';
}

static inline int room_at(const unsigned char *id, long seq) {
  for (int at = 0; at < room_count; at++)
    if (is_named(&rooms[at], id)) return at;
  size_t length = strcspn((const char *)id, "\"");
  if (length > ROOM_ID) die("a room's id is longer than %d", ROOM_ID);
  rooms = realloc(rooms, (room_count + 1) * sizeof *rooms);
  rooms[room_count] = (Room){.length = length, .first = seq, .head = seq};
  memcpy(rooms[room_count].id, id, length);
  return room_count++;
}

/* Takes a seat in each room that hello names. */
static inline void take_seats(Member *member, const unsigned char *hello, size_t length) {
  const unsigned char *at = value_of("\"rooms\":[", hello, length), *end = value_of("\"limits\":{", hello, length);
  if (!at || !end) die("a hello without rooms or limits: %.*s", (int)length, hello);
  member->seat_count = 0;
  while ((at = value_of("{\"id\":\"", at, end - at))) {
    long seq = seq_in(at, end - at);
    member->seats = realloc(member->seats, (member->seat_count + 1) * sizeof *member->seats);
    member->seats[member->seat_count++] = (Seat){room_at(at, seq), seq};
  }
}

/* The seat that a frame is about. */
static inline Seat *seat_for(const Member *member, const unsigned char *text, size_t length) {
  const unsigned char *room = value_of("\"room\":\"", text, length);
  for (int at = 0; room && at < member->seat_count; at++)
    if (is_named(&rooms[member->seats[at].room], room)) return &member->seats[at];
  die("a frame about a room that hello did not name: %.*s", (int)length, text);
  return NULL;
}

static inline void name_seq(Room *room, long seq) {
  if (seq > room->head) room->head = seq;
}

/* Every message once, in the order of seq. Returns its seq. */
static inline long hear_message(Seat *seat, const unsigned char *text, size_t length) {
  long seq = seq_in(text, length);
  disordered += seq != seat->seq + 1;
  seat->seq = seq;
  name_seq(&rooms[seat->room], seq);
  return seq;
}

static inline void hear_refusal(const unsigned char *text, size_t length) {
  if (!refused++) fprintf(stderr, "%s: refused: %.*s\n", program_invocation_short_name, (int)length, text);
}

/* Ids sort by time, as a client's do, and end with the number of the message. */
static inline int compose_message(char *to, size_t size, const char *room, long number) {
  return snprintf(to, size, "{\"type\":\"send_message\",\"id\":\"%016llx\",\"room\":\"%s\",\"text\":\"%s\"}",
                  (unsigned long long)time(NULL) << 32 | number, room, texts[number % text_count]);
}

static inline void send_message(Member *member, int room, long number) {
  char message[LINE + 500];
  say(&member->wire, message, compose_message(message, sizeof message, rooms[room].id, number));
}

static inline long number_in(const unsigned char *ack, size_t length) {
  const unsigned char *id = value_of("\"id\":\"", ack, length);
  if (!id) die("an answer without an id: %.*s", (int)length, ack);
  return strtoull((const char *)id, NULL, 16) & 0xffffffff;
}

#endif
