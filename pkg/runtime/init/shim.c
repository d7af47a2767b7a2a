/* The life after the launch: stdio to log and clients, commands from the socket, the exit status. */
#define _GNU_SOURCE
#include "init.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A frame is Docker's: type, three zero bytes, length big endian, payload. Types 1 and 2 are stdout and stderr. */
enum { CLIENTS = 64, FRAME_MAX = 8192, OUT_ROOM = 384 << 10, READ_MAX = 16 << 10, LINE_MAX = 16 << 10, FENCE_LOOK_MS = 250 };
/* Patience after the end: with clients that hold back output still in the pipes, or do not hang up; with clients that are behind. */
static const uint64_t DRAIN_NS = 10 * 1000000000ull, LINGER_NS = 600 * 1000000000ull;

struct client {
  int fd;
  bool attached;
  uint8_t in[8 + FRAME_MAX], *out;
  size_t in_len, in_done, out_head, out_len;
};
struct line { uint8_t text[LINE_MAX]; size_t len; };

static struct shim S;
static struct client *clients[CLIENTS];
static struct line lines[2];
static uint8_t pack[READ_MAX + LINE_MAX + 64];
static size_t pack_len;
static int log_fd = -1, stdin_off;
static bool started;
static uint64_t log_size, started_ns;

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static bool fenced; /* killed by the end of its lease */

/* Milliseconds until the container has to stop because the cluster knows nothing of its node any more; -1: no fence. The
 * file holds an instant of CLOCK_BOOTTIME in milliseconds. Without it there is no time left. */
static int fence_left(void) {
  const struct rec *f = plan_next(T_FENCE, NULL);
  char text[32] = "";
  struct timespec t;
  if (!f) return -1;
  int fd = open(f->str[0], O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  clock_gettime(CLOCK_BOOTTIME, &t);
  uint64_t until = n > 0 ? strtoull(text, NULL, 10) + f->num[0] : 0, now = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
  if (until <= now) return 0;
  return until - now < FENCE_LOOK_MS ? (int)(until - now) : FENCE_LOOK_MS;
}

/* ---- log: {u32 length, u8 stream, u8 partial, u16 0, u64 ns} text {u32 length}, big endian ---- */
static void log_open(void) {
  const struct rec *l = plan_next(T_LOG, NULL);
  struct stat st;
  if (!l) return;
  log_fd = open(l->str[0], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
  if (log_fd >= 0 && fstat(log_fd, &st) == 0) log_size = (uint64_t)st.st_size;
}

static void log_rotate(const struct rec *l) {
  char from[4200], to[4200];
  for (int i = (int)l->num[1] - 1; i > 0; i--) {
    if (i > 1) snprintf(from, sizeof from, "%s.%d", l->str[0], i - 1);
    else snprintf(from, sizeof from, "%s", l->str[0]);
    snprintf(to, sizeof to, "%s.%d", l->str[0], i);
    rename(from, to);
  }
  if (l->num[1] < 2) unlink(l->str[0]);
  close(log_fd);
  log_open();
}

static void log_flush(void) {
  const struct rec *l = plan_next(T_LOG, NULL);
  if (pack_len && log_fd >= 0) {
    if (log_size && log_size + pack_len > l->num[0]) log_rotate(l);
    ssize_t n = log_fd < 0 ? -1 : write(log_fd, pack, pack_len);
    if (n == (ssize_t)pack_len) log_size += pack_len;
    else if (n > 0 && ftruncate(log_fd, (off_t)log_size) < 0) log_size += (uint64_t)n; /* disk full: whole records or none */
  }
  pack_len = 0;
}

static void big32(uint8_t *at, uint64_t v) {
  for (int i = 0; i < 4; i++) at[i] = (uint8_t)(v >> (24 - 8 * i));
}

static void log_line(int stream, bool partial, uint64_t time) {
  struct line *l = &lines[stream - 1];
  if (pack_len + l->len + 20 > sizeof pack) log_flush();
  uint8_t *at = pack + pack_len;
  big32(at, l->len);
  at[4] = (uint8_t)stream, at[5] = partial, at[6] = at[7] = 0;
  big32(at + 8, time >> 32), big32(at + 12, time);
  memcpy(at + 16, l->text, l->len);
  big32(at + 16 + l->len, l->len);
  pack_len += l->len + 20;
  l->len = 0;
}

static void log_text(int stream, const uint8_t *text, size_t n) {
  struct line *l = &lines[stream - 1];
  uint64_t time = now_ns();
  while (log_fd >= 0 && n) {
    const uint8_t *newline = memchr(text, '\n', n);
    size_t take = newline ? (size_t)(newline - text) + 1 : n;
    if (take > LINE_MAX - l->len) take = LINE_MAX - l->len;
    memcpy(l->text + l->len, text, take);
    l->len += take, text += take, n -= take;
    if (l->text[l->len - 1] == '\n') log_line(stream, false, time);
    else if (l->len == LINE_MAX) log_line(stream, true, time);
  }
  log_flush();
}

/* ---- status file: replaced as a whole, so a reader never sees half of one ---- */
unsigned long long start_time(pid_t pid) {
  char path[64], text[512];
  unsigned long long t = 0;
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  text[n > 0 ? n : 0] = 0;
  char *at = strrchr(text, ')');
  for (int field = 2; at && field < 22; field++) at = strchr(at + 1, ' ');
  if (at) sscanf(at, " %llu", &t);
  return t;
}

/* A file for each state to come is there before anything runs: a full disk cannot keep us from saying what became of it. */
static const char *const STATUS_FILES[] = {"status.created", "status.running", "status.exited"};
#define STATUS_MAX 1024

bool shim_reserve(void) {
  static const char nothing[STATUS_MAX];
  bool ok = true;
  for (int i = 0; ok && i < 3; i++) {
    int fd = open(STATUS_FILES[i], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return false;
    errno = ENOSPC; /* of a short write */
    ok = write(fd, nothing, sizeof nothing) == (ssize_t)sizeof nothing;
    close(fd);
  }
  return ok;
}

static void shim_status(const char *state, const char *more) {
  static unsigned long long birth;
  char path[32], text[STATUS_MAX];
  snprintf(path, sizeof path, "status.%s", state);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (!birth) birth = start_time(S.pid);
  int n = snprintf(text, sizeof text, "state %s\npid %d\npidstart %llu\nshim %d\nshimstart %llu\nstarted %llu\n%s", state, S.pid, birth,
                   getpid(), start_time(getpid()), (unsigned long long)started_ns, more);
  if (n >= (int)sizeof text) n = sizeof text - 1;
  if (fd >= 0 && write(fd, text, (size_t)n) == n && ftruncate(fd, n) == 0) rename(path, "status");
  if (fd >= 0) close(fd);
}

/* ---- clients ---- */
static void drop(int i) {
  close(clients[i]->fd);
  free(clients[i]->out);
  free(clients[i]);
  clients[i] = NULL;
}

static void flush_client(int i) {
  struct client *c = clients[i];
  while (c->out_len) {
    ssize_t n = send(c->fd, c->out + c->out_head, c->out_len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) return drop(i);
    c->out_head += (size_t)n, c->out_len -= (size_t)n;
  }
  c->out_head = 0;
}

static size_t room(const struct client *c) { return OUT_ROOM - c->out_head - c->out_len; }

static void frame(int i, uint8_t type, const void *data, size_t n) {
  struct client *c = clients[i];
  if (room(c) < n + 8 && c->out_head) {
    memmove(c->out, c->out + c->out_head, c->out_len);
    c->out_head = 0;
  }
  if (room(c) < n + 8) return drop(i);
  uint8_t *at = c->out + c->out_head + c->out_len;
  memset(at, 0, 8);
  at[0] = type;
  big32(at + 4, n);
  if (n) memcpy(at + 8, data, n);
  c->out_len += n + 8;
  flush_client(i);
}

static void reply(int i, const char *text) { frame(i, 'r', text, strlen(text)); }

static void start(int i) {
  if (started) return reply(i, "already started");
  if (fence_left() == 0) return reply(i, "the cluster has not been heard for as long as the service's fence");
  char byte = 'g';
  started = true;
  started_ns = now_ns();
  if (write(S.control, &byte, 1) == 1)
    while (read(S.control, &byte, 1) > 0) {} /* ends when execve closed the other side, or the process died */
  if (!shared->error[0]) shim_status("running", "");
  reply(i, shared->error);
}

static bool command(int i, const uint8_t *f, size_t n) {
  struct client *c = clients[i];
  const uint8_t *p = f + 8;
  switch (f[0]) {
  case 0: /* stdin */
    while (S.in >= 0 && c->in_done < n) {
      ssize_t k = write(S.in, p + c->in_done, n - c->in_done);
      if (k < 0 && errno == EAGAIN) return stdin_off = 1, false;
      if (k <= 0) break;
      c->in_done += (size_t)k;
    }
    c->in_done = 0;
    return true;
  case 'a': c->attached = true; return reply(i, ""), true;
  case 'e':
    if (!S.tty && S.in >= 0) close(S.in), S.in = -1;
    return true;
  case 's': return start(i), true;
  case 'k':
    reply(i, n == 4 && syscall(SYS_pidfd_send_signal, S.pidfd, (int)p[3], NULL, 0) == 0 ? "" : strerror(n == 4 ? errno : EINVAL));
    return true;
  case 'w': {
    struct winsize w = {0};
    if (n == 4) w.ws_row = (unsigned short)(p[0] << 8 | p[1]), w.ws_col = (unsigned short)(p[2] << 8 | p[3]);
    reply(i, S.tty && n == 4 && ioctl(S.in, TIOCSWINSZ, &w) == 0 ? "" : "the process has no terminal");
    return true;
  }
  default: return reply(i, "unknown command"), true;
  }
}

/* Carries out the whole frames a client has sent; stops at stdin data that does not fit yet. */
static void frames(int i) {
  struct client *c = clients[i];
  while (c->in_len >= 8) {
    size_t n = (size_t)c->in[4] << 24 | (size_t)c->in[5] << 16 | (size_t)c->in[6] << 8 | c->in[7];
    if (n > FRAME_MAX) return drop(i);
    if (c->in_len < n + 8) return;
    if (!command(i, c->in, n) || clients[i] != c) return;
    c->in_len -= n + 8;
    memmove(c->in, c->in + n + 8, c->in_len);
  }
}

static void receive(int i) {
  struct client *c = clients[i];
  ssize_t n = recv(c->fd, c->in + c->in_len, sizeof c->in - c->in_len, MSG_DONTWAIT);
  if (n == 0 || (n < 0 && errno != EAGAIN)) return drop(i);
  if (n > 0) c->in_len += (size_t)n;
  frames(i);
}

static void accept_client(int listener) {
  int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), i = 0;
  while (i < CLIENTS && clients[i]) i++;
  struct client *c = fd >= 0 && i < CLIENTS ? calloc(1, sizeof *c) : NULL;
  if (c && (c->out = malloc(OUT_ROOM))) {
    c->fd = fd;
    clients[i] = c;
    return;
  }
  free(c);
  if (fd >= 0) close(fd);
}

/* Whether a client is so far behind that no more should be read for it. */
static bool crowded(size_t limit) {
  for (int i = 0; i < CLIENTS; i++)
    if (clients[i] && clients[i]->attached && clients[i]->out_len > limit) return true;
  return false;
}

/* One read of an output; false when there is nothing (more) to read. */
static bool pump(int stream) {
  static uint8_t text[READ_MAX];
  int *fd = &S.out[stream - 1];
  ssize_t n = *fd < 0 ? 0 : read(*fd, text, sizeof text);
  if (n <= 0) {
    if (*fd >= 0 && !(n < 0 && errno == EAGAIN)) close(*fd), *fd = -1;
    return false;
  }
  log_text(stream, text, (size_t)n);
  for (int i = 0; i < CLIENTS; i++)
    if (clients[i] && clients[i]->attached) frame(i, (uint8_t)stream, text, (size_t)n);
  return true;
}

static int wait_events(int listener, int timeout) {
  struct pollfd p[5 + CLIENTS];
  bool full = crowded(OUT_ROOM / 2); /* the other half takes what a pipe still holds at the end */
  p[0] = (struct pollfd){S.pidfd, POLLIN, 0};
  p[1] = (struct pollfd){listener, POLLIN, 0};
  p[2] = (struct pollfd){full ? -1 : S.out[0], POLLIN, 0};
  p[3] = (struct pollfd){full ? -1 : S.out[1], POLLIN, 0};
  p[4] = (struct pollfd){stdin_off ? S.in : -1, POLLOUT, 0};
  for (int i = 0; i < CLIENTS; i++) {
    struct client *c = clients[i];
    short want = c ? (short)((c->in_len < sizeof c->in ? POLLIN : 0) | (c->out_len ? POLLOUT : 0)) : 0;
    p[5 + i] = (struct pollfd){c ? c->fd : -1, want, 0};
  }
  if (poll(p, 5 + CLIENTS, timeout) < 0) return 0;
  for (int i = 0; i < CLIENTS; i++) {
    if (clients[i] && p[5 + i].revents & POLLOUT) flush_client(i);
    if (clients[i] && p[5 + i].revents & (POLLIN | POLLHUP | POLLERR)) receive(i);
  }
  if (p[4].revents) {
    stdin_off = 0;
    for (int i = 0; i < CLIENTS; i++)
      if (clients[i]) frames(i);
  }
  for (int s = 1; s <= 2; s++)
    if (p[1 + s].revents) pump(s);
  if (p[1].revents) accept_client(listener);
  return p[0].revents;
}

static void record_exit(void) {
  siginfo_t si = {0};
  char more[700], text[256] = "";
  waitid(P_PIDFD, (id_t)S.pidfd, &si, WEXITED | __WALL);
  bool killed = si.si_code != CLD_EXITED;
  unsigned long oom = 0;
  const struct rec *o = plan_next(T_OOM_FILE, NULL);
  int fd = o ? open(o->str[0], O_RDONLY | O_CLOEXEC) : -1;
  if (fd >= 0 && read(fd, text, sizeof text - 1) > 0) {
    char *at = strstr(text, "oom_kill ");
    oom = at ? strtoul(at + 9, NULL, 10) : 0;
  }
  snprintf(more, sizeof more, "code %d\nsignal %d\noom %d\nfenced %d\nfinished %llu\n%s%s%s", (killed ? 128 : 0) + si.si_status,
           killed ? si.si_status : 0, oom > 0, fenced && killed, (unsigned long long)now_ns(), shared->error[0] ? "error " : "",
           shared->error, shared->error[0] ? "\n" : "");
  shim_status("exited", more);
}

int shim_listen(void) {
  struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "shim.sock"};
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 64) < 0) die("shim.sock");
  return fd;
}

void shim_serve(const struct shim *s, int listener) {
  S = *s;
  log_open();
  shim_status("created", "");
  if (write(3, "ok", 2) == 2) close(3);
  for (int left = -1; !wait_events(listener, left);) {
    left = started ? fence_left() : -1;
    if (left == 0) fenced = true, syscall(SYS_pidfd_send_signal, S.pidfd, SIGKILL, NULL, 0), left = FENCE_LOOK_MS;
  }
  uint64_t deadline = now_ns() + DRAIN_NS;
  for (int s1 = 1; s1 <= 2; s1++)
    while (S.out[s1 - 1] >= 0) { /* what it wrote before it ended */
      if (crowded(OUT_ROOM - READ_MAX - 8) && now_ns() < deadline) {
        int pidfd = S.pidfd;
        S.pidfd = -1;
        wait_events(listener, 100);
        S.pidfd = pidfd;
      } else if (!pump(s1)) break;
    }
  for (int s2 = 1; s2 <= 2; s2++)
    if (lines[s2 - 1].len) log_line(s2, true, now_ns());
  log_flush();
  record_exit();
  unlink("shim.sock");
  close(listener);
  S.out[0] = S.out[1] = S.pidfd = -1;
  for (int i = 0; i < CLIENTS; i++)
    if (clients[i]) frame(i, 'x', "", 0);
  uint64_t hang_up = now_ns() + DRAIN_NS;
  deadline = now_ns() + LINGER_NS;
  for (bool waiting = true; waiting && now_ns() < deadline;) {
    waiting = false;
    /* A client that writes to a closed connection loses what it has not read yet: it hangs up first. */
    for (int i = 0; i < CLIENTS; i++) waiting |= clients[i] && (clients[i]->out_len || now_ns() < hang_up);
    if (waiting) wait_events(-1, 100);
  }
  _exit(0);
}
