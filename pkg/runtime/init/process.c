/* From a prepared root to the program: identity, limits, capabilities, seccomp, execve. */
#define _GNU_SOURCE
#include "init.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void limits(void) {
  for EACH (r, T_RLIMIT) {
    struct rlimit now, want = {r->num[1], r->num[2]};
    if (getrlimit((int)r->num[0], &now) < 0) fail(125, "rlimit %d: %s", (int)r->num[0], strerror(errno));
    if (setrlimit((int)r->num[0], &want) == 0 || errno != EPERM) continue;
    want.rlim_max = now.rlim_max; /* raising a hard limit needs CAP_SYS_RESOURCE */
    if (want.rlim_cur > want.rlim_max) want.rlim_cur = want.rlim_max;
    if (setrlimit((int)r->num[0], &want) < 0) fail(125, "rlimit %d: %s", (int)r->num[0], strerror(errno));
  }
}

static void set_caps(uint64_t effective, uint64_t permitted) {
  struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct d[2] = {{(uint32_t)effective, (uint32_t)permitted, 0},
                                        {(uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), 0}};
  if (syscall(SYS_capset, &h, d) < 0) die("capset");
}

static uint64_t permitted_caps(void) {
  struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct d[2];
  if (syscall(SYS_capget, &h, d) < 0) die("capget");
  return (uint64_t)d[1].permitted << 32 | d[0].permitted;
}

static void identity(void) {
  const struct rec *user = plan_next(T_USER, NULL), *cwd = plan_next(T_CWD, NULL), *caps = plan_next(T_CAPS, NULL);
  gid_t groups[256];
  size_t n = 0;
  for EACH (g, T_GROUP) {
    if (n == sizeof groups / sizeof *groups) fail(125, "too many additional groups");
    groups[n++] = (gid_t)g->num[0];
  }
  for (int c = 0; c < 64; c++)
    if (!(caps->num[0] >> c & 1) && prctl(PR_CAPBSET_READ, c, 0, 0, 0) == 1 && prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0)
      die("capability bounding set");
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setgroups(n, groups) < 0 ||
      setresgid((gid_t)user->num[1], (gid_t)user->num[1], (gid_t)user->num[1]) < 0 ||
      setresuid((uid_t)user->num[0], (uid_t)user->num[0], (uid_t)user->num[0]) < 0)
    die("user");
  if (cwd && chdir(cwd->str[0]) < 0) fail(125, "chdir to cwd (\"%s\") set in config.json failed: %s", cwd->str[0], strerror(errno));
}

static void confine(void) {
  const struct rec *filter = plan_next(T_SECCOMP, NULL);
  uint64_t have = permitted_caps(), want = plan_next(T_CAPS, NULL)->num[1] & have;
  uint64_t admin = 1ull << CAP_SYS_ADMIN & have;
  set_caps(want | admin, want | admin);
  if (plan_option(O_NO_NEW_PRIVS) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) die("no_new_privs");
  if (filter) {
    struct sock_fprog program = {(unsigned short)(filter->blob_len / 8), (void *)(uintptr_t)filter->blob};
    struct sock_filter *aligned = malloc(filter->blob_len); /* the plan's bytes may be unaligned */
    if (!aligned) die("seccomp");
    program.filter = memcpy(aligned, filter->blob, filter->blob_len);
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0) die("seccomp");
  }
  set_caps(want, want);
}

static _Noreturn void run(char **argv, char **envp) {
  int denied = 0;
  const char *path = NULL, *name = argv[0];
  if (strchr(name, '/')) {
    execve(name, argv, envp);
    if (errno == ENOENT || errno == ENOTDIR) fail(127, "exec: \"%s\": stat %s: no such file or directory", name, name);
    if (errno == EACCES) fail(126, "exec: \"%s\": permission denied", name);
    fail(126, "exec %s: %s", name, errno == ENOEXEC ? "exec format error" : strerror(errno));
  }
  for (char **e = envp; *e; e++)
    if (!strncmp(*e, "PATH=", 5)) path = *e + 5;
  for (const char *p = path ? path : ""; *p && *name;) {
    size_t n = strcspn(p, ":");
    char file[4096];
    if (n + strlen(name) + 2 < sizeof file) {
      snprintf(file, sizeof file, "%.*s/%s", n ? (int)n : 1, n ? p : ".", name);
      execve(file, argv, envp);
      if (errno == EACCES) denied = 1;
      else if (errno != ENOENT && errno != ENOTDIR)
        fail(126, "exec %s: %s", file, errno == ENOEXEC ? "exec format error" : strerror(errno));
    }
    p += n + (p[n] == ':');
  }
  if (denied) fail(126, "exec: \"%s\": permission denied", name);
  fail(127, "exec: \"%s\": executable file not found in $PATH", name);
}

/* `init: true`: stay as process 1, pass signals on, reap, end as the program ended. */
static void reaper(void) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, NULL);
  pid_t child = fork();
  if (child < 0) die("fork");
  if (!child) {
    setpgid(0, 0);
    tcsetpgrp(0, getpid()); /* fails harmlessly without a terminal; SIGTTOU is blocked */
    return;
  }
  syscall(SYS_close_range, 3, ~0u, 0);
  for (;;) {
    int signal, status;
    if (sigwait(&all, &signal)) continue;
    if (signal != SIGCHLD) {
      kill(child, signal);
      continue;
    }
    for (pid_t p; (p = waitpid(-1, &status, WNOHANG)) > 0;)
      if (p == child) _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  }
}

void process_exec(void (*release)(void)) {
  char **argv = plan_vector(T_ARG), **envp = plan_vector(T_ENV), text[16];
  if (!argv || !envp) fail(125, "out of memory");
  const struct rec *adj = plan_next(T_OOM_ADJ, NULL);
  snprintf(text, sizeof text, "%d", adj ? (int)adj->num[0] - 1000 : 0);
  put("/proc/self/oom_score_adj", text); /* best effort: lowering needs CAP_SYS_RESOURCE */
  limits();
  syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL, 0, 0, 0); /* not the agent's keys */
  release();
  identity();
  confine();
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* no container without its shim */
  if (plan_option(O_INIT)) reaper();
  for (int s = 1; s < 65; s++)
    if (s != SIGKILL && s != SIGSTOP) signal(s, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  syscall(SYS_close_range, 3, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */);
  run(argv, envp);
}
