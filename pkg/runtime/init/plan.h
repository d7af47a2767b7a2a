/* The InitPlan: what a container is, frozen by the TypeScript side (../init-plan.ts writes it). */
#ifndef PLAN_H
#define PLAN_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLAN_VERSION 1
#define PLAN_MAX_BYTES (4u << 20)

/* Record tags. The shape of each (how many numbers, strings, a trailing blob) is in plan.c. */
enum tag {
  T_FLAGS = 1, /* clone flags, option bits */
  T_JOIN,      /* CLONE_NEW* flag | path of a namespace to join */
  T_TARGET,    /* exec only: pid and start time of the container's first process */
  T_CGROUP_V1, /* path of a `tasks` file the process writes itself into */
  T_CGROUP_V2, /* path of a cgroup directory the process is born into */
  T_OOM_FILE,  /* path of a file with an `oom_kill N` line */
  T_DEV_BPF,   /* eBPF device filter for the v2 cgroup */
  T_LOG,       /* bytes per file, files | path */
  T_OVERLAY,   /* mount point, upper, work, extra option, whole option string for mount(2) */
  T_LOWER,     /* a layer, top-most first */
  T_ROOT_BIND, /* a directory that is the root as it is */
  T_MOUNT,     /* MS_* flags, MOUNT_ATTR_* to set, propagation, M_* bits | source, target, type, data */
  T_DEVICE,    /* mode with type, major, minor, uid, gid | path */
  T_LINK,      /* text, path */
  T_SYSCTL,    /* path below /proc/sys, value */
  T_READONLY,  /* path */
  T_MASK,      /* path */
  T_HOSTNAME,
  T_DOMAIN,
  T_RLIMIT,    /* resource, soft, hard */
  T_OOM_ADJ,   /* value + 1000 */
  T_CAPS,      /* bounding set, effective and permitted set */
  T_USER,      /* uid, gid */
  T_GROUP,     /* gid */
  T_SECCOMP,   /* struct sock_filter[] */
  T_WINSIZE,   /* rows, columns */
  T_CWD,
  T_ARG,
  T_ENV,
  T_FENCE,     /* milliseconds | path of the file that says until when the cluster knew this node */
  T_COUNT
};

enum { O_TTY = 1, O_STDIN = 2, O_INIT = 4, O_NO_NEW_PRIVS = 8, O_READONLY_ROOT = 16 };
enum { M_RECURSIVE = 1, M_FILE = 2 };

struct rec {
  uint8_t tag;
  uint32_t blob_len;
  uint64_t num[5];
  char *str[5];
  const uint8_t *blob;
};

/* Parses in place. NULL when well formed, else what is wrong. Never reads outside [bytes, bytes + n). */
const char *plan_parse(uint8_t *bytes, size_t n);
/* Loads and parses a file; NULL or what is wrong. */
const char *plan_load(const char *path);
/* The next record of a tag after `from` (NULL: the first one); NULL at the end. */
const struct rec *plan_next(enum tag tag, const struct rec *from);
bool plan_option(unsigned bit);
/* All strings of a tag as a NULL-terminated vector, allocated once. */
char **plan_vector(enum tag tag);

#define EACH(r, tag) (const struct rec *r = plan_next(tag, NULL); r; r = plan_next(tag, r))
#endif
