#include "plan.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct shape { uint8_t nums, strs; bool blob; };
static const struct shape SHAPE[T_COUNT] = {
    [T_FLAGS] = {2, 0, 0},    [T_JOIN] = {1, 1, 0},     [T_TARGET] = {2, 0, 0},    [T_CGROUP_V1] = {0, 1, 0},
    [T_CGROUP_V2] = {0, 1, 0}, [T_OOM_FILE] = {0, 1, 0}, [T_DEV_BPF] = {0, 0, 1},   [T_LOG] = {2, 1, 0},
    [T_OVERLAY] = {0, 5, 0},  [T_LOWER] = {0, 1, 0},    [T_ROOT_BIND] = {0, 1, 0}, [T_MOUNT] = {4, 4, 0},
    [T_DEVICE] = {5, 1, 0},   [T_LINK] = {0, 2, 0},     [T_SYSCTL] = {0, 2, 0},    [T_READONLY] = {0, 1, 0},
    [T_MASK] = {0, 1, 0},     [T_HOSTNAME] = {0, 1, 0}, [T_DOMAIN] = {0, 1, 0},    [T_RLIMIT] = {3, 0, 0},
    [T_OOM_ADJ] = {1, 0, 0},  [T_CAPS] = {2, 0, 0},     [T_USER] = {2, 0, 0},      [T_GROUP] = {1, 0, 0},
    [T_SECCOMP] = {0, 0, 1},  [T_WINSIZE] = {2, 0, 0},  [T_CWD] = {0, 1, 0},       [T_ARG] = {0, 1, 0},
    [T_ENV] = {0, 1, 0},      [T_FENCE] = {1, 1, 0},
};
static struct rec *recs;
static size_t count;

static uint64_t number(const uint8_t *b, int bytes) {
  uint64_t v = 0;
  for (int i = bytes - 1; i >= 0; i--) v = v << 8 | b[i];
  return v;
}

static const char *parse_record(struct rec *r, uint8_t *b, uint32_t n) {
  const struct shape *s = &SHAPE[r->tag];
  if (n < s->nums * 8u) return "record too short";
  for (int i = 0; i < s->nums; i++) r->num[i] = number(b + i * 8, 8);
  uint8_t *at = b + s->nums * 8, *end = b + n;
  for (int i = 0; i < s->strs; i++) {
    uint8_t *nul = memchr(at, 0, (size_t)(end - at));
    if (!nul) return "string without end";
    r->str[i] = (char *)at;
    at = nul + 1;
  }
  r->blob = at;
  r->blob_len = (uint32_t)(end - at);
  if (s->blob ? r->blob_len == 0 || r->blob_len % 8 || r->blob_len > 8 * 4096 : r->blob_len != 0) return "record length";
  return NULL;
}

const char *plan_parse(uint8_t *b, size_t n) {
  if (n < 4 || memcmp(b, "MIP", 3)) return "not an init plan";
  if (b[3] != PLAN_VERSION) return "init plan of another version";
  size_t total = 0;
  for (size_t i = 4; i < n; total++) {
    if (n - i < 5) return "torn record header";
    uint64_t len = number(b + i + 1, 4);
    if (b[i] == 0 || b[i] >= T_COUNT) return "unknown record";
    if (len > n - i - 5) return "torn record";
    i += 5 + len;
  }
  free(recs);
  count = 0;
  if (!(recs = calloc(total + 1, sizeof *recs))) return "out of memory";
  for (size_t i = 4; i < n; count++) {
    uint32_t len = (uint32_t)number(b + i + 1, 4);
    recs[count].tag = b[i];
    const char *wrong = parse_record(&recs[count], b + i + 5, len);
    if (wrong) return wrong;
    i += 5 + len;
  }
  if (!plan_next(T_FLAGS, NULL) || !plan_next(T_ARG, NULL) || !plan_next(T_USER, NULL) || !plan_next(T_CAPS, NULL))
    return "a required record is missing";
  return NULL;
}

const char *plan_load(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  struct stat st;
  if (fd < 0 || fstat(fd, &st) < 0) return strerror(errno);
  if (st.st_size <= 0 || st.st_size > PLAN_MAX_BYTES) return "init plan of impossible size";
  size_t n = (size_t)st.st_size, have = 0;
  uint8_t *b = malloc(n);
  if (!b) return "out of memory";
  for (ssize_t k; have < n && (k = read(fd, b + have, n - have)) > 0;) have += (size_t)k;
  close(fd);
  return have == n ? plan_parse(b, n) : "init plan changed while it was read";
}

const struct rec *plan_next(enum tag tag, const struct rec *from) {
  for (const struct rec *r = from ? from + 1 : recs; r < recs + count; r++)
    if (r->tag == tag) return r;
  return NULL;
}

bool plan_option(unsigned bit) { return plan_next(T_FLAGS, NULL)->num[1] & bit; }

char **plan_vector(enum tag tag) {
  char **v = calloc(count + 1, sizeof *v);
  size_t n = 0;
  if (v)
    for EACH (r, tag) v[n++] = r->str[0];
  return v;
}
