/*
 * Load for the network measurements.
 *   net-load serve PORT                     swallows streams and answers turns, a process per connection
 *   net-load stream ADDRESS PORT SECONDS    prints Gbit/s that arrived
 *   net-load turns ADDRESS PORT SECONDS     one byte there and one back on one connection; prints turns per second
 *   net-load connects ADDRESS PORT SECONDS  a connection for every turn; prints connections per second
 *   net-load watch ADDRESS PORT SECONDS     for each line `until`: tries to connect every ten milliseconds, prints when it
 *                                           could, ms since the epoch; for each line `while`: connects every ten milliseconds,
 *                                           first after thirty, prints when it could not any more
 * The first three print a second number: the same for each second of processor time that this process used, sending and
 * receiving of packets included. `watch` adds how long the slowest try took, in milliseconds.
 * The first byte of a connection says what it is: 's' or 't'.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char block[128 * 1024];
/** Nobody is gone sooner than that everywhere. */
#define FIRST_AFTER_US 30000

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/** What this process had of the processors. */
static double processor_seconds(void) {
  struct timespec used;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void no_delay(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static int dial(const char *address, const char *port, char kind) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
  if (inet_pton(AF_INET, address, &to.sin_addr) != 1) fail(address);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0) fail("connect");
  no_delay(fd);
  if (write(fd, &kind, 1) != 1) fail("write");
  return fd;
}

static void answer(int fd) {
  char kind = 0;
  no_delay(fd);
  if (read(fd, &kind, 1) != 1) return;
  if (kind == 's') {
    uint64_t total = 0;
    for (ssize_t got; (got = read(fd, block, sizeof block)) > 0;) total += (uint64_t)got;
    if (write(fd, &total, sizeof total) < 0) return;
    return;
  }
  while (read(fd, block, 1) == 1 && write(fd, block, 1) == 1) continue;
}

static int serve(const char *port) {
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
  int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr *)&here, sizeof here) < 0) fail("bind");
  if (listen(listener, 1024) < 0) fail("listen");
  signal(SIGCHLD, SIG_IGN);
  puts("ready");
  fflush(stdout);
  for (;;) {
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) continue;
    if (fork() == 0) {
      close(listener);
      answer(fd);
      _exit(0);
    }
    close(fd);
  }
}

static double stream(const char *address, const char *port, double duration) {
  int fd = dial(address, port, 's');
  double begun = seconds();
  while (seconds() - begun < duration)
    if (write(fd, block, sizeof block) < 0) fail("write");
  shutdown(fd, SHUT_WR);
  uint64_t total = 0;
  if (read(fd, &total, sizeof total) != sizeof total) fail("read");
  return (double)total * 8 / 1e9 / (seconds() - begun);
}

static double turns(const char *address, const char *port, double duration) {
  int fd = dial(address, port, 't');
  double begun = seconds();
  long count = 0;
  for (; seconds() - begun < duration; count++)
    if (write(fd, block, 1) != 1 || read(fd, block, 1) != 1) fail("turn");
  return (double)count / (seconds() - begun);
}

/** The end leaves nothing behind for the kernels between to keep for two minutes, which an orderly one would. */
static void reset(int fd) {
  struct linger now = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(fd);
}

static double connects(const char *address, const char *port, double duration) {
  double begun = seconds();
  long count = 0;
  for (; seconds() - begun < duration; count++) {
    int fd = dial(address, port, 't');
    if (write(fd, block, 1) != 1 || read(fd, block, 1) != 1) fail("turn");
    reset(fd);
  }
  return (double)count / (seconds() - begun);
}

static double milliseconds(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/** Until the clock reaches the next multiple: all that wait so are woken together, not one after the other all the time. */
static void sleep_to_multiple(long milliseconds) {
  long step = milliseconds * 1000000;
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  at.tv_nsec += step - at.tv_nsec % step;
  if (at.tv_nsec >= 1000000000) {
    at.tv_sec++;
    at.tv_nsec -= 1000000000;
  }
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

/** Until connecting succeeds, or until it fails: when that was, and the slowest try. */
static void wait_for(int reached, const struct sockaddr_in *to, double patience) {
  double slowest = 0, begun = seconds();
  // A try that succeeds is a fifth of a millisecond of work, in the way of what is measured.
  if (!reached) usleep(FIRST_AFTER_US);
  for (; seconds() - begun < patience; sleep_to_multiple(10)) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    double tried = milliseconds(CLOCK_MONOTONIC);
    int refused = connect(fd, (const struct sockaddr *)to, sizeof *to);
    double took = milliseconds(CLOCK_MONOTONIC) - tried;
    if (took > slowest) slowest = took;
    reset(fd);
    if ((refused == 0) != reached) continue;
    printf("%f %f\n", milliseconds(CLOCK_REALTIME), slowest);
    return;
  }
  errno = ETIMEDOUT;
  fail("watch");
}

/** Whenever it is asked, by the lines `until` and `while`, since a process that starts is in the way of what is measured. */
static void watch(char **words) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(words[3]))};
  if (inet_pton(AF_INET, words[2], &to.sin_addr) != 1) fail(words[2]);
  char line[16];
  setvbuf(stdout, NULL, _IOLBF, 0);
  while (fgets(line, sizeof line, stdin)) wait_for(line[0] == 'u', &to, atof(words[4]));
}

static void measure(double (*load)(const char *, const char *, double), char **words) {
  double begun = seconds(), before = processor_seconds();
  double rate = load(words[2], words[3], atof(words[4]));
  printf("%f %f\n", rate, rate * (seconds() - begun) / (processor_seconds() - before));
}

int main(int count, char **words) {
  signal(SIGPIPE, SIG_IGN);
  if (count == 3 && strcmp(words[1], "serve") == 0) return serve(words[2]);
  if (count != 5) return 2;
  if (strcmp(words[1], "stream") == 0) measure(stream, words);
  else if (strcmp(words[1], "turns") == 0) measure(turns, words);
  else if (strcmp(words[1], "connects") == 0) measure(connects, words);
  else if (strcmp(words[1], "watch") == 0) watch(words);
  else return 2;
  return 0;
}
