// The memory hierarchy below the registers.
//
//   CU: vector L1 (write-through), scalar L1 (read-only), and one queue of
//       stores for each L2 channel. A queue keeps its order; the queues of one
//       CU, and of different CUs, do not wait for each other.
//   XCD: one L2, write-back, with a dirty bit for each byte.
//   Memory: the buffers that the caller registered.
//
// All memory is remote to every L2 (the strictest reading of the memory model
// of gfx942 in LLVM's AMDGPUUsage): an L2 never hears of another's writes.
#include "memory.h"

u8 *translate(Machine *m, u64 address, u32 size, bool store, int *error) {
  Range *r = m->hint;
  if (unlikely(address < r->lo || address + size > r->hi)) {
    u32 lo = 0, hi = m->nrange;
    while (hi - lo > 1) {
      u32 mid = (lo + hi) / 2;
      if (m->range[mid].lo <= address)
        lo = mid;
      else
        hi = mid;
    }
    r = &m->range[lo];
    if (address < r->lo || address + size > r->hi || address + size < address) {
      *error = ERROR_MEMORY;
      return NULL;
    }
    m->hint = r;
  }
  if (unlikely(store && r->readonly)) {
    *error = ERROR_READONLY;
    return NULL;
  }
  return r->host + (address - r->lo);
}

// Ranges begin at multiples of a line, so a line lies in one range at most.
static u8 *line_in_memory(Machine *m, u64 line, u32 *bytes) {
  int error;
  u8 *p = translate(m, line, 1, false, &error);
  u64 room = m->hint->hi - line;
  *bytes = room < LINE ? (u32)room : LINE;
  return p;
}
// Copies the bytes whose bit is set.
static void copy_masked(u8 *to, const u8 *from, const u64 mask[2]) {
  for (int half = 0; half < 2; ++half) {
    u64 bits = mask[half];
    u8 *t = to + 64 * half;
    const u8 *f = from + 64 * half;
    if (bits == ~0ull) {
      memcpy(t, f, 64);
      continue;
    }
    for (int word = 0; word < 16 && bits; ++word, bits >>= 4)
      if ((bits & 15) == 15)
        memcpy(t + 4 * word, f + 4 * word, 4);
      else
        for (int k = 0; k < 4; ++k)
          if (bits >> k & 1)
            t[4 * word + k] = f[4 * word + k];
  }
}

void remember_line(Machine *m, int xcd, u64 line) {
  if (!m->config.stale)
    return;
  u32 bytes;
  const u8 *p = line_in_memory(m, line, &bytes);
  remember(m, 0, line, xcd, p, bytes);
}

// ---- L2 ----
static void write_back_line(Machine *m, L2 *c, u32 at) {
  L2Line *line = &c->line[at];
  if (!(line->dirty[0] | line->dirty[1]))
    return;
  u32 bytes;
  remember_line(m, (int)(c - m->l2), c->tag[at] - 1);
  u8 *p = line_in_memory(m, c->tag[at] - 1, &bytes);
  copy_masked(p, line->data, line->dirty);
  line->dirty[0] = line->dirty[1] = 0;
  ++m->stats.lines_written_back;
}
static i64 find_l2(const L2 *c, u64 line) {
  u32 set = (u32)(line / LINE % c->sets) * L2_WAYS;
  for (u32 k = set; k < set + L2_WAYS; ++k)
    if (c->tag[k] == line + 1)
      return k;
  return -1;
}
static u32 allocate_l2(Machine *m, L2 *c, u64 line) {
  u32 set = (u32)(line / LINE % c->sets) * L2_WAYS,
      at = set + (u32)(next_random(m) % L2_WAYS);
  for (u32 k = set; k < set + L2_WAYS; ++k)
    if (!c->tag[k]) {
      at = k;
      break;
    }
  if (c->tag[at]) {
    write_back_line(m, c, at);
    ++m->stats.evictions;
  }
  c->tag[at] = line + 1;
  c->line[at].epoch = 0;
  return at;
}
static void evict_some_l2(Machine *m, L2 *c) {
  u32 at;
  if (c->ndirty && next_random(m) & 1)
    at = c->dirty[next_random(m) % c->ndirty];
  else
    at = (u32)(next_random(m) % (c->sets * L2_WAYS));
  if (!c->tag[at])
    return;
  write_back_line(m, c, at);
  c->tag[at] = 0;
  ++m->stats.evictions;
}
static const u8 *read_l2(Machine *m, int xcd, u64 line) {
  L2 *c = &m->l2[xcd];
  if (toss(m, m->config.evict_l2))
    evict_some_l2(m, c);
  i64 found = find_l2(c, line);
  u32 at = found < 0 ? allocate_l2(m, c, line) : (u32)found;
  L2Line *entry = &c->line[at];
  if (entry->epoch == c->epoch) {
    ++m->stats.l2_hits;
    return entry->data;
  }
  ++m->stats.l2_misses;
  u32 bytes;
  const u8 *p = line_in_memory(m, line, &bytes);
  if (toss(m, m->config.stale)) { // as if the line had been fetched long ago
    const u8 *old = recall(m, 0, line, xcd, c->invalidated);
    p = old ? old : p;
  }
  if (entry->dirty[0] | entry->dirty[1]) {
    u64 clean[2] = {~entry->dirty[0], ~entry->dirty[1]};
    if (bytes < LINE) { // no byte beyond the buffer
      u8 whole[LINE] = {0};
      memcpy(whole, p, bytes);
      copy_masked(entry->data, whole, clean);
    } else {
      copy_masked(entry->data, p, clean);
    }
  } else {
    memcpy(entry->data, p, bytes);
  }
  entry->epoch = c->epoch;
  return entry->data;
}
static void write_l2(Machine *m, int xcd, int cu, const Chunk *chunk) {
  L2 *c = &m->l2[xcd];
  if (toss(m, m->config.evict_l2))
    evict_some_l2(m, c);
  i64 found = find_l2(c, chunk->line);
  if (chunk->through) {
    u32 bytes;
    remember_line(m, xcd, chunk->line);
    copy_masked(line_in_memory(m, chunk->line, &bytes), chunk->data,
                chunk->mask);
    if (found >= 0) {
      L2Line *entry = &c->line[found];
      copy_masked(entry->data, chunk->data, chunk->mask);
      entry->dirty[0] &= ~chunk->mask[0];
      entry->dirty[1] &= ~chunk->mask[1];
    }
    return;
  }
  u32 at = found < 0 ? allocate_l2(m, c, chunk->line) : (u32)found;
  L2Line *entry = &c->line[at];
  if (m->config.stale) {
    u8 seen[LINE] = {0};
    if (entry->epoch == c->epoch) {
      memcpy(seen, entry->data, LINE);
    } else {
      u32 bytes;
      const u8 *p = line_in_memory(m, chunk->line, &bytes);
      memcpy(seen, p, bytes);
      copy_masked(seen, entry->data, entry->dirty);
    }
    remember(m, 1 + (u32)xcd, chunk->line, cu, seen, LINE);
  }
  copy_masked(entry->data, chunk->data, chunk->mask);
  entry->dirty[0] |= chunk->mask[0];
  entry->dirty[1] |= chunk->mask[1];
  if (!entry->listed) {
    entry->listed = true;
    c->dirty[c->ndirty++] = at;
  }
}
void writeback_l2(Machine *m, int xcd) {
  L2 *c = &m->l2[xcd];
  for (u32 k = 0; k < c->ndirty; ++k) {
    u32 at = c->dirty[k];
    write_back_line(m, c, at);
    c->line[at].listed = false;
  }
  c->ndirty = 0;
  ++m->stats.writebacks;
  ++m->progress;
}
void invalidate_l2(Machine *m, int xcd) {
  ++m->l2[xcd].epoch;
  m->l2[xcd].invalidated = ++m->sequence;
  ++m->stats.invalidates_l2;
}

// ---- L1 ----
static i64 find_l1(const L1 *c, u64 line) {
  u32 set = (u32)(line / LINE % c->sets) * L1_WAYS;
  for (u32 k = set; k < set + L1_WAYS; ++k)
    if (c->tag[k] == line + 1)
      return k;
  return -1;
}
static void drop_l1(L1 *c, u64 line) {
  i64 at = find_l1(c, line);
  if (at >= 0)
    c->tag[at] = 0;
}
static u32 allocate_l1(Machine *m, L1 *c, u64 line) {
  u32 set = (u32)(line / LINE % c->sets) * L1_WAYS;
  for (u32 k = set; k < set + L1_WAYS; ++k)
    if (!c->tag[k])
      return k;
  return set + (u32)(next_random(m) % L1_WAYS);
}
const u8 *read_line(Machine *m, Cu *cu, u64 line, bool device_scope) {
  if (device_scope) { // misses in L1 and L2
    flush_line(m, cu, line);
    u32 bytes;
    const u8 *p = line_in_memory(m, line, &bytes);
    memcpy(m->line_data, p, bytes);
    return m->line_data;
  }
  L1 *c = &cu->l1;
  if (toss(m, m->config.evict_l1))
    c->tag[next_random(m) % (c->sets * L1_WAYS)] = 0;
  i64 at = find_l1(c, line);
  if (at >= 0) {
    ++m->stats.l1_hits;
    return c->data[at];
  }
  ++m->stats.l1_misses;
  // The request follows the earlier stores of its channel.
  drain_channel(m, cu, channel_of(line), ~0ull);
  const u8 *data = read_l2(m, cu->xcd, line);
  if (toss(m, m->config.stale)) {
    const u8 *old =
        recall(m, 1 + (u32)cu->xcd, line, cu->index, cu->invalidated);
    L2 *l2 = &m->l2[cu->xcd];
    i64 below = find_l2(l2, line);
    if (!old && below >= 0 &&
        !(l2->line[below].dirty[0] | l2->line[below].dirty[1]))
      old = recall(m, 0, line, cu->xcd, cu->invalidated);
    data = old ? old : data;
  }
  at = allocate_l1(m, c, line);
  c->tag[at] = line + 1;
  memcpy(c->data[at], data, LINE);
  return c->data[at];
}
const u8 *read_line_scalar(Machine *m, Cu *cu, u64 line) {
  L1 *c = &cu->scalar;
  i64 at = find_l1(c, line);
  if (at < 0) {
    const u8 *data = read_l2(m, cu->xcd, line);
    at = allocate_l1(m, c, line);
    c->tag[at] = line + 1;
    memcpy(c->data[at], data, LINE);
  }
  return c->data[at];
}
void invalidate_l1(Cu *cu) {
  memset(cu->l1.tag, 0, sizeof(u64) * cu->l1.sets * L1_WAYS);
  cu->invalidated = ++cu->machine->sequence;
}
void invalidate_scalar(Cu *cu) {
  memset(cu->scalar.tag, 0, sizeof(u64) * cu->scalar.sets * L1_WAYS);
}

// ---- stores on their way ----
Chunk *queue_chunk(Machine *m, Cu *cu, u64 line, bool through) {
  Queue *q = &cu->queue[channel_of(line)];
  if (q->head + q->size == q->capacity) {
    if (q->head) {
      memmove(q->at, q->at + q->head, sizeof(Chunk) * q->size);
      q->head = 0;
    } else {
      q->capacity = q->capacity ? 2 * q->capacity : 8;
      q->at = realloc(q->at, sizeof(Chunk) * q->capacity);
    }
  }
  Chunk *chunk = &q->at[q->head + q->size++];
  ++cu->queued;
  chunk->line = line;
  chunk->sequence = ++m->sequence;
  chunk->mask[0] = chunk->mask[1] = 0;
  chunk->through = through;
  return chunk;
}
void update_l1(Cu *cu, const Chunk *chunk) {
  i64 at = find_l1(&cu->l1, chunk->line);
  if (at >= 0)
    copy_masked(cu->l1.data[at], chunk->data, chunk->mask);
}
void drain_channel(Machine *m, Cu *cu, u32 channel, u64 until) {
  Queue *q = &cu->queue[channel];
  while (q->size && q->at[q->head].sequence <= until) {
    write_l2(m, cu->xcd, cu->index, &q->at[q->head]);
    ++q->head, --q->size, --cu->queued, ++m->progress;
  }
  if (!q->size)
    q->head = 0;
}
void drain_cu(Machine *m, Cu *cu, u64 until) {
  if (!cu->queued)
    return;
  u32 first = (u32)next_random(m);
  for (u32 k = 0; k < CHANNELS; ++k)
    drain_channel(m, cu, (first + k) % CHANNELS, until);
}
void flush_line(Machine *m, Cu *cu, u64 line) {
  drain_channel(m, cu, channel_of(line), ~0ull);
  drop_l1(&cu->l1, line);
  L2 *c = &m->l2[cu->xcd];
  i64 at = find_l2(c, line);
  if (at >= 0) {
    write_back_line(m, c, (u32)at);
    c->tag[at] = 0;
  }
}

// ---- construction ----
static void build_l1(L1 *c, u32 lines) {
  c->sets = lines / L1_WAYS;
  c->tag = calloc(c->sets * L1_WAYS, sizeof(u64));
  c->data = calloc(c->sets * L1_WAYS, LINE);
}
void build_caches(Machine *m) {
  m->history = new_history();
  m->cu = calloc(m->config.cus, sizeof(Cu));
  for (u32 k = 0; k < m->config.cus; ++k) {
    m->cu[k].machine = m;
    m->cu[k].index = (int)k;
    m->cu[k].xcd = (int)m->cu_xcd[k];
    if (m->config.caches) {
      build_l1(&m->cu[k].l1, m->config.l1_lines);
      build_l1(&m->cu[k].scalar, SCALAR_LINES);
    }
  }
  m->l2 = calloc(m->config.xcds, sizeof(L2));
  if (m->config.caches)
    for (u32 k = 0; k < m->config.xcds; ++k) {
      L2 *c = &m->l2[k];
      c->sets = m->config.l2_lines / L2_WAYS;
      c->epoch = 1;
      c->tag = calloc(c->sets * L2_WAYS, sizeof(u64));
      c->line = calloc(c->sets * L2_WAYS, sizeof(L2Line));
      c->dirty = calloc(c->sets * L2_WAYS, sizeof(u32));
    }
}
void free_caches(Machine *m) {
  clear_history(m->history);
  free(m->history);
  for (u32 k = 0; k < m->config.cus; ++k) {
    free(m->cu[k].l1.tag), free(m->cu[k].l1.data);
    free(m->cu[k].scalar.tag), free(m->cu[k].scalar.data);
    for (u32 q = 0; q < CHANNELS; ++q)
      free(m->cu[k].queue[q].at);
  }
  for (u32 k = 0; k < m->config.xcds; ++k)
    free(m->l2[k].tag), free(m->l2[k].line), free(m->l2[k].dirty);
  free(m->cu), free(m->l2);
}
