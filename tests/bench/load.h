/* What every load needs: its arguments, connections, a clock, the processors' time, and percentiles.
 *
 * Each program is told PORTS PROCESSES TOKENS TEXTS: the server's port and process, or those of several with commas
 * between, and two files, with a token and with a text in each line. A text is put into JSON as it is.
 */
#ifndef LOAD_H
#define LOAD_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { NODES = 16, PROCESSES = 1024, LINE = 16384, SAMPLES = 1 << 22, PATIENCE = 20 };

static int ports[NODES], processes[PROCESSES], port_count, process_count, poller;
static char **tokens, **texts;
static long token_count, text_count;

static inline void die(const char *format, ...) {
  va_list rest;
  va_start(rest, format);
  fprintf(stderr, "%s: ", program_invocation_short_name);
  vfprintf(stderr, format, rest);
  fputc('\n', stderr);
  exit(1);
}

/* ---- arguments */

static inline char **lines_of(const char *path, long *length) {
  FILE *file = fopen(path, "r");
  char **lines = NULL, line[LINE];
  if (!file) die("cannot read %s: %s", path, strerror(errno));
  for (*length = 0; fgets(line, sizeof line, file); ++*length) {
    line[strcspn(line, "\r\n")] = 0;
    lines = realloc(lines, (*length + 1) * sizeof *lines);
    lines[*length] = strdup(line);
  }
  fclose(file);
  return lines;
}

static inline int numbers_of(const char *list, int *numbers, int most) {
  int found = 0;
  for (char *end; *list && found < most; list = *end ? end + 1 : end) numbers[found++] = strtol(list, &end, 10);
  return found;
}

/* PORTS PROCESSES TOKENS TEXTS, behind the first of these words. */
static inline void read_place(char **words) {
  port_count = numbers_of(words[1], ports, NODES), process_count = numbers_of(words[2], processes, PROCESSES);
  tokens = lines_of(words[3], &token_count), texts = lines_of(words[4], &text_count);
  if (!port_count || !ports[0]) die("PORTS is %s; it has to be a port, or several with commas between", words[1]);
  if (!text_count) die("no line in %s", words[4]);
}

static inline void raise_file_limit(void) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}

/* A socket that is about to be connected to this machine's port; nothing is waited for. */
static inline int dial(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (fd < 0) die("no more sockets: %s", strerror(errno));
  inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(fd, (void *)&address, sizeof address) && errno != EINPROGRESS)
    die("cannot connect to port %d: %s", port, strerror(errno));
  return fd;
}

/* Of a socket that is connected by now. */
static inline void must_stand(int fd, int port) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error) die("cannot connect to port %d: %s", port, strerror(error));
}

/* ---- clocks */

static inline double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

static inline double cpu(void) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  return used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static inline double cpu_of(int process) {
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

static void hear_all(int milliseconds); /* of what comes within so many; the program's own */

static inline void hear_for(double seconds) {
  for (double end = now() + seconds; now() < end;) hear_all(10);
}

/* Seconds: of the clock, and of the processors' work for the load and for the servers (those on Linux only). */
typedef struct {
  double clock, load, server;
} Spent;

static inline Spent spent(void) {
  Spent all = {now(), cpu(), 0};
  for (int at = 0; at < process_count; at++) all.server += cpu_of(processes[at]);
  return all;
}

static inline Spent since(Spent before) {
  Spent after = spent();
  return (Spent){after.clock - before.clock, after.load - before.load, after.server - before.server};
}

static inline void print_cpu(Spent took) {
  printf("\"load_cpu\": %.2f, \"server_cpu\": %.2f, \"server_cpu_s\": %.2f, ", took.load / took.clock,
         took.server / took.clock, took.server);
}

/* ---- percentiles */

typedef struct {
  float *milliseconds;
  long count;
} Latencies;

static inline Latencies latencies(void) { return (Latencies){malloc(SAMPLES * sizeof(float)), 0}; }

static inline void sample(Latencies *all, double seconds) {
  if (all->count < SAMPLES) all->milliseconds[all->count++] = seconds * 1e3;
}

static inline int compare(const void *one, const void *other) {
  return (*(float *)one > *(float *)other) - (*(float *)one < *(float *)other);
}

static inline double percentile(const Latencies *sorted, double share) {
  return sorted->count ? sorted->milliseconds[(long)((sorted->count - 1) * share)] : 0;
}

static inline void print_latencies(const char *name, Latencies *all) {
  qsort(all->milliseconds, all->count, sizeof(float), compare);
  printf("\"%s_p50_ms\": %.3f, \"%s_p99_ms\": %.3f, \"%s_max_ms\": %.3f, ", name, percentile(all, 0.5), name,
         percentile(all, 0.99), name, percentile(all, 1));
}

#endif
