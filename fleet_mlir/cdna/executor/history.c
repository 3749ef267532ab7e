// What lines held before they were written, so that a cache can be as stale
// as the memory model allows: without an invalidation, a load may find any
// value that its line has had since the last one.
#include "memory.h"

enum { MAX_VERSIONS = 8 }; // of a line; the oldest are forgotten

typedef struct {
  u64 time; // of the write that ended it
  i32 writer;
  u8 data[LINE];
} Version;
typedef struct {
  u64 key; // line + level, plus 1
  u32 count;
  Version *version;
} Slot;
struct History {
  Slot *slot;
  u64 capacity, used; // capacity is a power of two
};

static Slot *find(History *h, u64 key) {
  u64 at = (key * 0x9e3779b97f4a7c15ull >> 20) & (h->capacity - 1);
  while (h->slot[at].key && h->slot[at].key != key)
    at = (at + 1) & (h->capacity - 1);
  return &h->slot[at];
}
static void grow(History *h) {
  History old = *h;
  h->capacity = old.capacity ? 2 * old.capacity : 1024;
  h->slot = calloc(h->capacity, sizeof(Slot));
  for (u64 k = 0; k < old.capacity; ++k)
    if (old.slot[k].key)
      *find(h, old.slot[k].key) = old.slot[k];
  free(old.slot);
}
History *new_history(void) { return calloc(1, sizeof(History)); }
void clear_history(History *h) {
  for (u64 k = 0; k < h->capacity; ++k)
    free(h->slot[k].version);
  free(h->slot);
  h->slot = NULL;
  h->capacity = h->used = 0;
}
void remember(Machine *m, u32 level, u64 line, i32 writer, const u8 *old,
              u32 bytes) {
  History *h = m->history;
  if (2 * (h->used + 1) > h->capacity)
    grow(h);
  Slot *s = find(h, line + level + 1);
  if (!s->key) {
    s->key = line + level + 1;
    s->version = malloc(sizeof(Version) * MAX_VERSIONS);
    ++h->used;
  }
  if (s->count == MAX_VERSIONS)
    memmove(s->version, s->version + 1, sizeof(Version) * --s->count);
  Version *v = &s->version[s->count++];
  v->time = ++m->sequence;
  v->writer = writer;
  memcpy(v->data, old, bytes);
  memset(v->data + bytes, 0, LINE - bytes);
}
const u8 *recall(Machine *m, u32 level, u64 line, i32 reader, u64 since) {
  History *h = m->history;
  if (!h->capacity)
    return NULL;
  const Slot *s = find(h, line + level + 1);
  if (!s->key)
    return NULL;
  for (u32 k = s->count; k-- > 0;) // nobody misses what he wrote himself
    if (s->version[k].writer == reader && s->version[k].time > since) {
      since = s->version[k].time;
      break;
    }
  for (u32 k = 0; k < s->count; ++k)
    if (s->version[k].time > since)
      return s->version[k].data;
  return NULL;
}
