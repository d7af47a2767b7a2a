/* Root file system of a container: overlay or directory, mounts, devices, masks, pivot. */
#define _GNU_SOURCE
#include "init.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

int mount(const char *, const char *, const char *, unsigned long, const void *);
int umount2(const char *, int);
#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif
enum { BIND = 4096, REC = 16384, REMOUNT = 32, DETACH = 2, SLAVE = 1 << 19, FS_STRING = 1, FS_CREATE = 6 };

static int root = -1;

/* Opens a path as the container would see it: symlinks cannot leave its root. */
static int open_in(const char *path, uint64_t flags) {
  struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
  return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

/* The directory above `path`, made when missing; *last is the final component. */
static int parent_in(const char *path, const char **last) {
  char part[4096];
  size_t n = strlen(path);
  if (n >= sizeof part) fail(125, "path too long");
  int dir = open_in("/", O_PATH | O_DIRECTORY);
  *last = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
  for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
    memcpy(part, path, (size_t)(slash - path));
    part[slash - path] = 0;
    int next = open_in(part, O_PATH | O_DIRECTORY);
    if (next < 0 && errno == ENOENT) {
      if (mkdirat(dir, strrchr(part, '/') ? strrchr(part, '/') + 1 : part, 0755) < 0) die(part);
      next = open_in(part, O_PATH | O_DIRECTORY);
    }
    if (next < 0) die(part);
    close(dir);
    dir = next;
  }
  return dir;
}

/* A mount point, made when missing; also what a dangling symlink points to (/etc/resolv.conf in many images). */
static int mount_point(const char *path, bool file) {
  char next[8192], link[4096];
  for (int depth = 0; depth < 8; depth++) {
    int at = open_in(path, O_PATH);
    if (at >= 0 || errno != ENOENT) return at;
    const char *last;
    int dir = parent_in(path, &last);
    int made = file ? mknodat(dir, last, S_IFREG | 0644, 0) : mkdirat(dir, last, 0755);
    ssize_t n = made < 0 && errno == EEXIST ? readlinkat(dir, last, link, sizeof link - 1) : -1;
    close(dir);
    if (made < 0 && n <= 0) return -1;
    if (made == 0) return open_in(path, O_PATH);
    link[n] = 0;
    int stem = *link == '/' ? 0 : (int)(last - path);
    char *copy = strndup(path, (size_t)stem); /* path may be `next` itself */
    if (!copy || snprintf(next, sizeof next, "%s%s", copy, link) >= (int)sizeof next) fail(125, "symlink too long");
    free(copy);
    path = next;
  }
  errno = ELOOP;
  return -1;
}

static void set_attr(int tree, uint64_t attr, uint64_t propagation, bool recursive) {
  struct mount_attr ma = {.attr_set = attr, .propagation = propagation};
  if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &ma, sizeof ma) < 0)
    die("mount_setattr");
}

static int clone_tree(int dir, const char *path, bool recursive) {
  return (int)syscall(SYS_open_tree, dir, path,
                      OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0));
}

static void move_to(int tree, int at, const char *what) {
  if (syscall(SYS_move_mount, tree, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0) die(what);
  close(tree);
  close(at);
}

static void mount_one(const struct rec *r) {
  int at = mount_point(r->str[1], r->num[3] & M_FILE);
  if (at < 0) die(r->str[1]);
  if (r->num[0] & BIND) {
    bool recursive = r->num[3] & M_RECURSIVE;
    int tree = clone_tree(AT_FDCWD, r->str[0], recursive);
    if (tree < 0) fail(125, "bind source %s: %s", r->str[0], strerror(errno));
    set_attr(tree, r->num[1], r->num[2], recursive);
    move_to(tree, at, r->str[1]);
    return;
  }
  if (fchdir(at) < 0 || mount(r->str[0], ".", r->str[2], r->num[0], r->str[3]) < 0)
    fail(125, "mount %s on %s: %s", r->str[2], r->str[1], strerror(errno));
  close(at);
}

static void device(const struct rec *r) {
  const char *last;
  int dir = parent_in(r->str[0], &last);
  if (mknodat(dir, last, (mode_t)r->num[0], makedev(r->num[1], r->num[2])) < 0 && errno != EEXIST) die(r->str[0]);
  if (fchownat(dir, last, (uid_t)r->num[3], (gid_t)r->num[4], AT_SYMLINK_NOFOLLOW) < 0) die(r->str[0]);
  close(dir);
}

/* Layers one by one (no page-size limit on their names); false where the kernel is too old for that. */
static bool overlay_by_layer(const struct rec *o) {
  int fs = (int)syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC);
  if (fs < 0) return false;
  for EACH (l, T_LOWER)
    if (syscall(SYS_fsconfig, fs, FS_STRING, "lowerdir+", l->str[0], 0) < 0) return close(fs), false;
  char why[256] = "";
  int made = -1;
  if (syscall(SYS_fsconfig, fs, FS_STRING, "upperdir", o->str[1], 0) == 0 &&
      syscall(SYS_fsconfig, fs, FS_STRING, "workdir", o->str[2], 0) == 0 &&
      (!*o->str[3] || syscall(SYS_fsconfig, fs, FS_STRING, o->str[3], "off", 0) == 0) &&
      syscall(SYS_fsconfig, fs, FS_CREATE, NULL, NULL, 0) == 0)
    made = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
  int error = errno;
  if (made < 0) {
    ssize_t n = read(fs, why, sizeof why - 1);
    /* Before 6.5 any option is taken, and refused here without a reason. */
    if (error == EINVAL && n <= 0) return close(fs), false;
    fail(125, "overlay: %s %.*s", strerror(error), n > 0 ? (int)n : 0, why);
  }
  close(fs);
  move_to(made, open(o->str[0], O_PATH | O_CLOEXEC), "overlay");
  return true;
}

static void mount_root(void) {
  const struct rec *o = plan_next(T_OVERLAY, NULL), *b = plan_next(T_ROOT_BIND, NULL);
  if (o) {
    if (!overlay_by_layer(o) && mount("overlay", o->str[0], "overlay", 0, o->str[4]) < 0) die("overlay");
  } else {
    int tree = b ? clone_tree(AT_FDCWD, b->str[0], true) : -1;
    if (tree < 0) die(b ? b->str[0] : "the plan has no root");
    set_attr(tree, 0, 1 << 18 /* MS_PRIVATE */, true);
    move_to(tree, open(b->str[0], O_PATH | O_CLOEXEC), b->str[0]);
  }
  const char *path = o ? o->str[0] : b->str[0];
  if (chdir(path) < 0 || (root = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0) die(path);
}

static void protect(void) {
  for EACH (r, T_READONLY) {
    int at = open_in(r->str[0], O_PATH);
    if (at < 0) continue;
    int tree = clone_tree(at, "", true);
    if (tree < 0) die(r->str[0]);
    set_attr(tree, MOUNT_ATTR_RDONLY, 0, true);
    move_to(tree, at, r->str[0]);
  }
  for EACH (m, T_MASK) {
    struct stat st;
    int at = open_in(m->str[0], O_PATH);
    if (at < 0 || fstat(at, &st) < 0) continue;
    if (S_ISDIR(st.st_mode)) {
      if (fchdir(at) < 0 || mount("tmpfs", ".", "tmpfs", 1 /* MS_RDONLY */, "size=0k,nr_inodes=1") < 0) die(m->str[0]);
      close(at);
      continue;
    }
    int tree = clone_tree(AT_FDCWD, "/dev/null", false);
    if (tree < 0) die(m->str[0]);
    move_to(tree, at, m->str[0]);
  }
}

int terminal_open(int dir, int *peer) {
  root = dir;
  int master = open_in("/dev/pts/ptmx", O_RDWR | O_NOCTTY), unlock = 0;
  if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0) die("terminal");
  *peer = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (*peer < 0) die("terminal peer");
  return master;
}

void rootfs_build(int *console) {
  if (mount(NULL, "/", NULL, REC | SLAVE, NULL) < 0) die("private mounts");
  umask(0);
  mount_root();
  for EACH (m, T_MOUNT) mount_one(m);
  for EACH (d, T_DEVICE) device(d);
  for EACH (l, T_LINK) {
    const char *last;
    int dir = parent_in(l->str[1], &last);
    if (symlinkat(l->str[0], dir, last) < 0 && errno != EEXIST) die(l->str[1]);
    close(dir);
  }
  if (plan_option(O_TTY)) {
    console[0] = terminal_open(root, &console[1]);
    int tree = clone_tree(console[1], "", false);
    if (tree < 0) die("console");
    move_to(tree, mount_point("/dev/console", true), "/dev/console");
  }
  for EACH (s, T_SYSCTL) {
    int fd = open_in(s->str[0], O_WRONLY);
    if (fd < 0 || write(fd, s->str[1], strlen(s->str[1])) < 0) fail(125, "sysctl %s: %s", s->str[0], strerror(errno));
    close(fd);
  }
  protect();
  if (plan_option(O_READONLY_ROOT)) set_attr(root, MOUNT_ATTR_RDONLY, 0, false);
  const struct rec *cwd = plan_next(T_CWD, NULL);
  int at = cwd ? mount_point(cwd->str[0], false) : -1;
  if (at >= 0) close(at);
  if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", DETACH) < 0 || chdir("/") < 0)
    die("pivot_root");
  close(root);
  umask(022);
}
