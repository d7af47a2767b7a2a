/*
 * muster-init: builds one container (or one exec) from a plan and becomes its shim.
 *   muster-init run|exec DIR    DIR holds `plan`; fd 3 reports "ok" or the error, then closes
 *   muster-init check FILE      parses a plan and does nothing
 */
#define _GNU_SOURCE
#include "init.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int setns(int, int);
struct shared *shared;
static int control[2], in[2] = {-1, -1}, out[2] = {-1, -1}, err[2] = {-1, -1};

void fail(int code, const char *format, ...) {
  va_list args;
  va_start(args, format);
  if (!shared->error[0]) vsnprintf(shared->error, sizeof shared->error, format, args);
  va_end(args);
  _exit(code);
}

void die(const char *what) { fail(125, "%s: %s", what, strerror(errno)); }

int put(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));
  int error = errno;
  if (fd >= 0) close(fd);
  errno = error;
  return n < 0 ? -1 : 0;
}

static void send_ready(int fd) {
  char byte = 'R', space[CMSG_SPACE(sizeof fd)] = {0};
  struct iovec io = {&byte, 1};
  struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1};
  if (fd >= 0) {
    m.msg_control = space, m.msg_controllen = sizeof space;
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
  }
  if (sendmsg(control[1], &m, 0) != 1) die("report ready");
}

/* Waits until the process has been set up; its terminal or -1. False when it died instead. */
static bool receive_ready(int *terminal) {
  char byte, space[CMSG_SPACE(sizeof(int))];
  struct iovec io = {&byte, 1};
  struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
  if (recvmsg(control[0], &m, MSG_CMSG_CLOEXEC) != 1) return false;
  struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  if (c) memcpy(terminal, CMSG_DATA(c), sizeof *terminal);
  return true;
}

static void release(void) {
  char byte;
  if (read(control[1], &byte, 1) != 1) _exit(125); /* the shim is gone */
}

static _Noreturn void container(bool is_exec) {
  int console[2] = {-1, -1};
  close(control[0]);
  if (setsid() < 0) die("setsid");
  if (getpriority(PRIO_PROCESS, 0) < 0) setpriority(PRIO_PROCESS, 0, 0); /* the agent runs ahead of its containers */
  const struct rec *host = plan_next(T_HOSTNAME, NULL), *domain = plan_next(T_DOMAIN, NULL);
  if (host && sethostname(host->str[0], strlen(host->str[0])) < 0) die("hostname");
  if (domain && setdomainname(domain->str[0], strlen(domain->str[0])) < 0) die("domainname");
  if (!is_exec) rootfs_build(console);
  else if (plan_option(O_TTY)) console[0] = terminal_open(open("/", O_PATH | O_CLOEXEC), &console[1]);
  if (console[1] >= 0) {
    const struct rec *w = plan_next(T_WINSIZE, NULL);
    struct winsize size = {0};
    if (w) size.ws_row = (unsigned short)w->num[0], size.ws_col = (unsigned short)w->num[1], ioctl(console[1], TIOCSWINSZ, &size);
    if (ioctl(console[1], TIOCSCTTY, 0) < 0) die("controlling terminal");
    in[0] = out[1] = err[1] = console[1];
  }
  uid_t owner = (uid_t)plan_next(T_USER, NULL)->num[0]; /* so that the user may reopen /dev/stdout */
  if ((in[0] >= 0 && fchown(in[0], owner, (gid_t)-1) < 0) || fchown(out[1], owner, (gid_t)-1) < 0 ||
      fchown(err[1], owner, (gid_t)-1) < 0)
    die("stdio owner");
  if (in[0] >= 0 && dup2(in[0], 0) < 0) die("stdin");
  if (dup2(out[1], 1) < 0 || dup2(err[1], 2) < 0) die("stdout");
  send_ready(console[0]);
  if (console[0] >= 0) close(console[0]);
  process_exec(release);
}

static void attach_device_filter(int cgroup) {
  const struct rec *r = plan_next(T_DEV_BPF, NULL);
  if (!r || cgroup < 0) return;
  union bpf_attr load = {.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE, .insn_cnt = r->blob_len / 8,
                         .insns = (uint64_t)(uintptr_t)r->blob, .license = (uint64_t)(uintptr_t)"Apache-2.0"};
  int program = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load);
  union bpf_attr attach = {.target_fd = (uint32_t)cgroup, .attach_bpf_fd = (uint32_t)program, .attach_type = BPF_CGROUP_DEVICE,
                           .attach_flags = BPF_F_ALLOW_MULTI};
  if (program < 0 || syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach) < 0) die("device filter");
  close(program);
}

/* Enters cgroups and namespaces (a single thread writing itself avoids the kernel's slow path for moving
 * others) and makes the container's process as a child of the shim. */
static _Noreturn void intermediate(bool is_exec) {
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* until execve, others in the container cannot look into this process */
  close(3); /* the report is the shim's: its reader waits for the end of it */
  const struct rec *v2 = plan_next(T_CGROUP_V2, NULL), *target = plan_next(T_TARGET, NULL);
  struct clone_args a = {.flags = CLONE_PARENT};
  if (!is_exec) a.flags |= plan_next(T_FLAGS, NULL)->num[0];
  int cgroup = v2 ? open(v2->str[0], O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
  if (v2 && cgroup < 0) die(v2->str[0]);
  if (!is_exec && plan_next(T_DEV_BPF, NULL)) {
    int fd = v2 ? open(v2->str[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    attach_device_filter(fd);
    close(fd);
  }
  if (v2) a.flags |= CLONE_INTO_CGROUP, a.cgroup = (uint64_t)cgroup;
  for EACH (c, T_CGROUP_V1)
    if (put(c->str[0], "0") < 0) die(c->str[0]);
  for EACH (j, T_JOIN) {
    int fd = open(j->str[0], O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, (int)j->num[0]) < 0) die(j->str[0]);
    close(fd);
  }
  if (is_exec) {
    if (!target) fail(125, "the plan has no target");
    int fd = (int)syscall(SYS_pidfd_open, (pid_t)target->num[0], 0);
    if (fd < 0 || start_time((pid_t)target->num[0]) != target->num[1]) fail(125, "the container is not running");
    if (setns(fd, (int)plan_next(T_FLAGS, NULL)->num[0]) < 0) die("enter the container");
  }
  long pid = syscall(SYS_clone3, &a, sizeof a);
  if (pid < 0) die("clone3");
  if (pid == 0) container(is_exec);
  shared->pid = (pid_t)pid;
  _exit(0);
}

static void make_stdio(void) {
  if (plan_option(O_TTY)) return;
  if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0 || (plan_option(O_STDIN) && pipe2(in, O_CLOEXEC) < 0)) die("pipe");
  fcntl(out[0], F_SETFL, O_NONBLOCK);
  fcntl(err[0], F_SETFL, O_NONBLOCK);
  if (in[1] >= 0) fcntl(in[1], F_SETFL, O_NONBLOCK);
}

static int refuse(const char *why, const char *more) {
  dprintf(3, "%s%s", why, more);
  return 1;
}

/* Builds the container; false with shared->error set when it cannot be built. */
static bool launch(bool is_exec, struct shim *s) {
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0) die("socketpair");
  make_stdio();
  pid_t helper = fork();
  if (helper < 0) die("fork");
  if (helper == 0) intermediate(is_exec);
  int terminal = -1, ends[] = {control[1], in[0], out[1], err[1]};
  for (int i = 0; i < 4; i++)
    if (ends[i] >= 0) close(ends[i]);
  waitpid(helper, NULL, 0);
  bool ready = shared->pid && receive_ready(&terminal);
  *s = (struct shim){.pid = shared->pid, .control = control[0], .in = in[1], .out = {out[0], err[0]}, .tty = terminal >= 0};
  s->pidfd = s->pid ? (int)syscall(SYS_pidfd_open, s->pid, 0) : -1;
  if (terminal >= 0) {
    fcntl(terminal, F_SETFL, O_NONBLOCK);
    s->in = s->out[0] = terminal;
  }
  return ready && s->pidfd >= 0;
}

int main(int argc, char **argv) {
  if (argc == 3 && !strcmp(argv[1], "check")) {
    const char *wrong = plan_load(argv[2]);
    puts(wrong ? wrong : "ok");
    return wrong ? 1 : 0;
  }
  bool is_exec = argc == 3 && !strcmp(argv[1], "exec");
  if (argc != 3 || (!is_exec && strcmp(argv[1], "run"))) return 2;
  fcntl(3, F_SETFD, FD_CLOEXEC);
  syscall(SYS_close_range, 4, ~0u, 0);
  for (int s = 1; s < 32; s++) signal(s, s == SIGHUP || s == SIGINT || s == SIGTERM || s == SIGPIPE ? SIG_IGN : SIG_DFL);
  setsid();
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  put("/proc/self/oom_score_adj", "-999"); /* best effort */
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED || chdir(argv[2]) < 0) return refuse(strerror(errno), "");
  const char *wrong = plan_load("plan");
  if (wrong) return refuse("plan: ", wrong);
  if (!shim_reserve()) return refuse("status: ", strerror(errno));
  struct shim s;
  if (!launch(is_exec, &s)) {
    if (s.pid) kill(s.pid, SIGKILL), waitpid(s.pid, NULL, __WALL);
    return refuse(shared->error[0] ? shared->error : "the container's process died during set-up", "");
  }
  shim_serve(&s, shim_listen());
}
