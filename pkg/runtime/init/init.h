/* What the parts of muster-init share. See docs/design/runtime.md for the order of events. */
#ifndef INIT_H
#define INIT_H
#include "plan.h"
#include <sys/types.h>

/* Memory shared by shim, intermediate and the not yet executed process: how a failure reaches the shim. */
struct shared {
  pid_t pid;
  char error[480];
};
extern struct shared *shared;

/* Records `what: strerror(errno)` and ends this process. 125: set-up, 126: cannot run, 127: not found. */
_Noreturn void die(const char *what);
_Noreturn void fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Writes a whole small file; -1 and errno on failure. */
int put(const char *path, const char *text);

/* rootfs.c: in the new mount namespace; returns with the container's root as `/`. */
void rootfs_build(int *console);
/* A terminal of the devpts mounted at <root>/dev/pts; returns the master, *peer is the other end. */
int terminal_open(int root, int *peer);

/* process.c: takes on identity and limits and executes the program. `release` blocks until it may. */
_Noreturn void process_exec(void (*release)(void));

/* shim.c: serves stdio, log and socket until the process has ended. */
struct shim {
  int pidfd, control, in, out[2];
  bool tty;
  pid_t pid;
};
bool shim_reserve(void);
int shim_listen(void);
unsigned long long start_time(pid_t pid);
_Noreturn void shim_serve(const struct shim *s, int listener);
#endif
