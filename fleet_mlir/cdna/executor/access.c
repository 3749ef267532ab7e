// Global memory instructions: loads, stores, atomics, loads to LDS, cache
// control, and scalar loads.
//
// src[0] vector address, src[1] scalar base or buffer descriptor, src[2] data,
// src[3] scalar offset of a buffer instruction. imm: atomic operation.
#include "memory.h"
#include "table.h"

enum { LDS_APERTURE = 0x10000 }; // upper word of a flat address into LDS

// ---- addresses ----
static void global_addresses(Wave *w, const Inst *i, u64 *address) {
  u64 offset = (u64)(i64)i->offset;
  if (i->src[1].kind != OPERAND_NONE) {
    u64 base = scalar64(w, &i->src[1]) + offset;
    if (i->src[0].kind == OPERAND_NONE)
      FOR_LANES address[l] = base;
    else {
      const u32 *v = w->v[i->src[0].reg];
      FOR_LANES address[l] = base + v[l];
    }
  } else {
    const u32 *lo = w->v[i->src[0].reg], *hi = w->v[i->src[0].reg + 1];
    FOR_LANES address[l] = (lo[l] | (u64)hi[l] << 32) + offset;
  }
}
// Buffer addresses, and in `valid` the bytes of each lane that lie inside the
// buffer; the rest reads as zero and is not written. Checked dword by dword.
static void buffer_addresses(Wave *w, const Inst *i, u64 *address, u8 *valid) {
  const u32 *d = w->s + i->src[1].reg;
  u64 base = (d[0] | (u64)d[1] << 32) & 0xffffffffffffull;
  u32 stride = d[1] >> 16 & 0x3fff, records = d[2],
      soffset = scalar32(w, &i->src[3]);
  bool swizzled = d[1] >> 31;
  const u32 *v = i->src[0].kind == OPERAND_NONE ? NULL : w->v[i->src[0].reg];
  const u32 *index = i->flags & F_IDXEN ? v : NULL,
            *voffset = !(i->flags & F_OFFEN) ? NULL
                       : index               ? v + LANES
                                             : v;
  EACH_LANE {
    u64 x = index ? index[l] : 0,
        o = (voffset ? (u64)voffset[l] : 0) + (u64)(i64)i->offset;
    address[l] = base + soffset + o + x * stride;
    bool structured = stride && index;
    u32 bytes = 0, step = i->size < 4 ? i->size : 4;
    if (structured)
      bytes = x < records && (!swizzled || o + i->size <= stride) ? i->size : 0;
    else
      while (bytes < i->size && o + soffset + bytes + step <= records)
        bytes += step;
    valid[l] = (u8)bytes;
  }
}

// ---- reading lanes ----
#define INLINE static inline __attribute__((always_inline))
INLINE void read_word(const u8 *p, u32 size, u32 *to, int l) {
  if (size == 1)
    to[l] = *p;
  else if (size == 2)
    to[l] = load2(p);
  else
    for (u32 j = 0; j < size / 4; ++j)
      to[LANES * j + l] = load4(p + 4 * j);
}
INLINE bool read_sized(Wave *w, const Inst *i, const u64 *address, u64 exec,
                       u32 size, u32 *to) {
  Machine *m = w->machine;
  bool device = i->flags & F_SC1, cached = m->config.caches;
  const u8 *data = NULL;
  u64 current = 1;
  for (u64 rest = exec; rest; rest &= rest - 1) {
    int l = __builtin_ctzll(rest), error = 0;
    u64 a = address[l];
    const Range *r = m->hint;
    const u8 *p = r->host + (a - r->lo);
    if (unlikely(a < r->lo || a + size > r->hi) &&
        !(p = translate(m, a, size, false, &error))) {
      raise_error(w, i, error, a, size, l, 0);
      return false;
    }
    if (!cached) {
      read_word(p, size, to, l);
      continue;
    }
    u64 line = a & ~(u64)(LINE - 1);
    if (line != current) {
      data = read_line(m, w->cu, line, device);
      current = line;
    }
    u32 at = (u32)(a - line);
    if (likely(at + size <= LINE)) {
      read_word(data + at, size, to, l);
      continue;
    }
    u8 piece[16]; // over the end of the line
    memcpy(piece, data + at, LINE - at);
    data = read_line(m, w->cu, line + LINE, device);
    current = line + LINE;
    memcpy(piece + (LINE - at), data, size - (LINE - at));
    read_word(piece, size, to, l);
  }
  return true;
}
// Reads `size` bytes for each lane of `exec`; word j of lane l goes to
// to[64 * j + l]. Sub-word values arrive in the low bits.
static bool read_lanes(Wave *w, const Inst *i, const u64 *address, u64 exec,
                       u32 size, u32 *to) {
  ++w->machine->stats.loads;
  switch (size) {
  case 1:
    return read_sized(w, i, address, exec, 1, to);
  case 2:
    return read_sized(w, i, address, exec, 2, to);
  case 4:
    return read_sized(w, i, address, exec, 4, to);
  case 8:
    return read_sized(w, i, address, exec, 8, to);
  case 12:
    return read_sized(w, i, address, exec, 12, to);
  default:
    return read_sized(w, i, address, exec, 16, to);
  }
}
// Puts sub-word values into their register.
static void extend_lanes(Wave *w, const Inst *i, u64 exec, const u32 *from) {
  u32 *d = w->v[i->dst], bits = 8 * i->size;
  for (u64 rest = exec; rest; rest &= rest - 1) {
    int l = __builtin_ctzll(rest);
    u32 x = i->flags & F_SIGNED
                ? (u32)((i32)(from[l] << (32 - bits)) >> (32 - bits))
                : from[l];
    if (i->flags & F_D16_HI)
      d[l] = (d[l] & 0xffff) | x << 16;
    else if (i->flags & F_D16)
      d[l] = (d[l] & 0xffff0000u) | (x & 0xffff);
    else
      d[l] = x;
  }
}
static bool read_registers(Wave *w, const Inst *i, const u64 *address,
                           u64 exec) {
  if (i->size >= 4)
    return read_lanes(w, i, address, exec, i->size, w->v[i->dst]);
  u32 narrow[LANES];
  if (!read_lanes(w, i, address, exec, i->size, narrow))
    return false;
  extend_lanes(w, i, exec, narrow);
  return true;
}

// ---- LDS as the destination ----
// word 0 of `data` after the value rows: M0 at issue.
enum { LDS_ROWS = 4 };
static bool lds_target(Wave *w, const Inst *i, u32 m0, int l, u32 **to) {
  u32 stride = i->size > 4 ? 16 : 4, n = i->size > 4 ? i->size : 4;
  u64 at = (u64)(m0 & 0x3ffff) + (u64)(i64)i->offset + (u64)l * stride;
  if (at + n > w->group->lds_size) {
    raise_error(w, i, ERROR_LDS, at, n, l, 1);
    return false;
  }
  *to = (u32 *)(w->group->lds + at);
  return true;
}
// Until the load is waited for, its place in LDS holds no value.
static bool poison_lds(Wave *w, const Inst *i, u32 m0) {
  EACH_LANE if (is_on(w, l)) {
    u32 *to, n = i->size > 4 ? i->size / 4 : 1;
    if (!lds_target(w, i, m0, l, &to))
      return false;
    for (u32 j = 0; j < n; ++j)
      memcpy(to + j, &(u32){POISON}, 4);
  }
  return true;
}
void deliver_lds(Wave *w, Pend *p) {
  u32 n = p->inst->size > 4 ? p->inst->size / 4 : 1,
      m0 = p->data[LDS_ROWS * LANES];
  EACH_LANE if (p->exec >> l & 1) {
    u32 *to;
    if (lds_target(w, p->inst, m0, l, &to))
      for (u32 j = 0; j < n; ++j)
        memcpy(to + j, &p->data[j * LANES + l], 4);
  }
}

bool perform_load(Wave *w, Pend *p) {
  if (!p->deferred)
    return true;
  p->deferred = false;
  --w->cu->late;
  u64 lanes = p->read;
  if (!(p->inst->flags & F_LDS))
    return read_registers(w, p->inst, p->address, lanes);
  u32 narrow = p->inst->size < 4;
  if (!read_lanes(w, p->inst, p->address, lanes, p->inst->size, p->data))
    return false;
  if (narrow && p->inst->flags & F_SIGNED)
    EACH_LANE p->data[l] =
        (u32)((i32)(p->data[l] << (32 - 8 * p->inst->size)) >>
              (32 - 8 * p->inst->size));
  return true;
}

// ---- loads ----
static bool is_flat_lds(const Wave *w, const Inst *i, const u64 *address) {
  return i->flags & F_FLAT && w->exec &&
         address[__builtin_ctzll(w->exec)] >> 32 == LDS_APERTURE;
}
static bool load(Wave *w, const Inst *i, const u64 *address, u64 lanes) {
  bool to_lds = i->flags & F_LDS;
  u32 words = i->size > 4 ? i->size / 4 : 1;
  Pend *p = add_pend(w, i, PEND_LOAD, true, i->flags & F_FLAT,
                     to_lds ? 0 : 128u + i->dst, to_lds ? 0 : words);
  if (!p)
    return false;
  if (w->exec)
    w->last_address = address[__builtin_ctzll(w->exec)];
  p->read = lanes;
  bool late = toss(w->machine, w->machine->config.defer_load);
  if (to_lds) {
    u32 m0 = w->s[SGPR_M0];
    if (!poison_lds(w, i, m0))
      return false;
    p->data = calloc(LDS_ROWS * LANES + 1, 4);
    p->data[LDS_ROWS * LANES] = m0;
  }
  if (!late && !to_lds)
    return read_registers(w, i, address, lanes);
  for (u64 rest = lanes; rest;
       rest &= rest - 1) { // a late load faults at its issue, too
    int l = __builtin_ctzll(rest), error = 0;
    if (unlikely(!translate(w->machine, address[l], i->size, false, &error))) {
      raise_error(w, i, error, address[l], i->size, l, 0);
      return false;
    }
  }
  p->address = malloc(LANES * sizeof(u64));
  memcpy(p->address, address, LANES * sizeof(u64));
  p->deferred = true;
  ++w->cu->late;
  if (!late)
    return perform_load(w, p);
  ++w->machine->stats.deferred;
  return true;
}
static const Inst *run_x_load(Wave *w, const Inst *i) {
  u64 address[LANES];
  global_addresses(w, i, address);
  if (unlikely(is_flat_lds(w, i, address))) {
    Pend *p = add_pend(w, i, PEND_DS, true, true, 128u + i->dst,
                       i->size > 4 ? i->size / 4u : 1);
    EACH_LANE if (p && is_on(w, l)) {
      u32 at = (u32)address[l];
      if (at + i->size > w->group->lds_size || i->size < 4) {
        raise_error(w, i, ERROR_LDS, at, i->size, l, 0);
        return stop(w, i, STOP_ERROR);
      }
      for (u32 j = 0; j < i->size / 4u; ++j)
        w->v[i->dst + j][l] = load4(w->group->lds + at + 4 * j);
    }
    return p ? i + 1 : stop(w, i, STOP_ERROR);
  }
  return likely(load(w, i, address, w->exec)) ? i + 1 : stop(w, i, STOP_ERROR);
}
static const Inst *run_x_buffer_load(Wave *w, const Inst *i) {
  u64 address[LANES], whole = 0;
  u8 valid[LANES];
  buffer_addresses(w, i, address, valid);
  EACH_LANE whole |= (u64)(valid[l] == i->size) << l;
  u64 partial = w->exec & ~whole;
  if (unlikely(partial) &&
      !(i->flags & F_LDS)) { // zero, then the words that are inside
    for (u32 j = 0; j < (i->size > 4 ? i->size / 4u : 1); ++j)
      EACH_LANE if (partial >> l & 1) {
        u32 *d = &w->v[i->dst + j][l];
        u64 at[LANES];
        at[l] = address[l] + 4 * j;
        u32 row[LANES];
        row[l] = 0;
        if (valid[l] >= 4 * j + 4 && !read_lanes(w, i, at, 1ull << l, 4, row))
          return stop(w, i, STOP_ERROR);
        if (i->flags & F_D16_HI)
          *d &= 0xffff;
        else if (i->flags & F_D16)
          *d &= 0xffff0000u;
        else
          *d = row[l];
      }
  }
  return likely(load(w, i, address, w->exec & whole)) ? i + 1
                                                      : stop(w, i, STOP_ERROR);
}

// ---- stores ----
static void store_word(const Wave *w, const Inst *i, int l, u8 *bytes) {
  u32 row = i->src[2].reg;
  for (u32 j = 0; j < (i->size > 4 ? i->size / 4u : 1); ++j) {
    u32 x = w->v[row + j][l];
    if (i->flags & F_D16_HI)
      x >>= 16;
    memcpy(bytes + 4 * j, &x, 4);
  }
}
static bool store_lanes(Wave *w, const Inst *i, const u64 *address, u64 lanes,
                        u32 size_of_all) {
  Machine *m = w->machine;
  Cu *cu = w->cu;
  Chunk *chunk = NULL;
  ++m->stats.stores;
  if (!sample_late_loads(cu))
    return false;
  Pend *pend = add_pend(w, i, PEND_STORE, true, i->flags & F_FLAT, 0, 0);
  if (!pend)
    return false;
  for (u64 rest = lanes; rest; rest &= rest - 1) {
    int l = __builtin_ctzll(rest), error = 0;
    u64 a = address[l];
    u32 size = size_of_all;
    u8 bytes[16];
    u8 *p = translate(m, a, size, true, &error);
    if (unlikely(!p)) {
      raise_error(w, i, error, a, size, l, 1);
      return false;
    }
    store_word(w, i, l, bytes);
    if (!m->config.caches) {
      memcpy(p, bytes, size);
      continue;
    }
    for (u32 done = 0; done < size;) {
      u64 line = (a + done) & ~(u64)(LINE - 1);
      u32 at = (u32)(a + done - line),
          n = size - done < LINE - at ? size - done : LINE - at;
      if (!chunk || chunk->line != line) {
        if (chunk)
          update_l1(cu, chunk);
        chunk = queue_chunk(m, cu, line, i->flags & F_SC1);
      }
      memcpy(chunk->data + at, bytes + done, n);
      u64 ones = (1ull << n) - 1; // n <= 16
      if (at < 64)
        chunk->mask[0] |= ones << at;
      if (at >= 64)
        chunk->mask[1] |= ones << (at - 64);
      else if (at + n > 64)
        chunk->mask[1] |= ones >> (64 - at);
      done += n;
    }
  }
  if (!m->config.caches) {
    ++m->progress;
    return true;
  }
  if (chunk)
    update_l1(cu, chunk);
  pend->sequence = m->sequence;
  if (!toss(m, m->config.defer_store))
    drain_cu(m, cu, m->sequence);
  return true;
}
static const Inst *run_x_store(Wave *w, const Inst *i) {
  u64 address[LANES];
  global_addresses(w, i, address);
  if (unlikely(is_flat_lds(w, i, address))) {
    EACH_LANE if (is_on(w, l)) {
      u32 at = (u32)address[l];
      u8 bytes[16];
      if (at + i->size > w->group->lds_size) {
        raise_error(w, i, ERROR_LDS, at, i->size, l, 1);
        return stop(w, i, STOP_ERROR);
      }
      store_word(w, i, l, bytes);
      memcpy(w->group->lds + at, bytes, i->size);
    }
    return add_pend(w, i, PEND_DS, true, true, 0, 0) ? i + 1
                                                     : stop(w, i, STOP_ERROR);
  }
  return likely(store_lanes(w, i, address, w->exec, i->size))
             ? i + 1
             : stop(w, i, STOP_ERROR);
}
static const Inst *run_x_buffer_store(Wave *w, const Inst *i) {
  u64 address[LANES], whole = 0;
  u8 valid[LANES];
  buffer_addresses(w, i, address, valid);
  EACH_LANE whole |= (u64)(valid[l] == i->size) << l;
  if (!store_lanes(w, i, address, w->exec & whole, i->size))
    return stop(w, i, STOP_ERROR);
  EACH_LANE if (is_on(w, l) && !(whole >> l & 1) &&
                valid[l]) if (!store_lanes(w, i, address, 1ull << l,
                                           valid[l])) return stop(w, i,
                                                                  STOP_ERROR);
  return i + 1;
}

// ---- atomics: executed at memory ----
u64 atomic_result(u32 op, bool wide, u64 old, u64 x, u64 compare) {
  i64 so = wide ? (i64)old : (i32)old, sx = wide ? (i64)x : (i32)x;
  switch ((AtomicOp)op) {
  case ATOMIC_SWAP:
    return x;
  case ATOMIC_CMPSWAP:
    return old == compare ? x : old;
  case ATOMIC_ADD:
    return old + x;
  case ATOMIC_SUB:
    return old - x;
  case ATOMIC_SUB_REVERSED:
    return x - old;
  case ATOMIC_SMIN:
    return so < sx ? old : x;
  case ATOMIC_SMAX:
    return so > sx ? old : x;
  case ATOMIC_UMIN:
    return old < x ? old : x;
  case ATOMIC_UMAX:
    return old > x ? old : x;
  case ATOMIC_AND:
    return old & x;
  case ATOMIC_OR:
    return old | x;
  case ATOMIC_XOR:
    return old ^ x;
  case ATOMIC_INC:
    return old >= x ? 0 : old + 1;
  case ATOMIC_DEC:
    return old == 0 || old > x ? x : old - 1;
  case ATOMIC_ADD_FLOAT:
    return wide ? f64_bits(as_f64(old) + as_f64(x))
                : f32_bits(as_f32((u32)old) + as_f32((u32)x));
  case ATOMIC_MIN_FLOAT:
    return wide ? f64_bits(fmin(as_f64(old), as_f64(x)))
                : f32_bits(fminf(as_f32((u32)old), as_f32((u32)x)));
  case ATOMIC_MAX_FLOAT:
    return wide ? f64_bits(fmax(as_f64(old), as_f64(x)))
                : f32_bits(fmaxf(as_f32((u32)old), as_f32((u32)x)));
  case ATOMIC_PK_ADD_F16:
    return f16_bits((f16)((float)as_f16((u32)old) + (float)as_f16((u32)x))) |
           f16_bits((f16)((float)as_f16((u32)old >> 16) +
                          (float)as_f16((u32)x >> 16)))
               << 16;
  case ATOMIC_PK_ADD_BF16:
    return bf16_bits(as_bf16((u32)old & 0xffff) + as_bf16((u32)x & 0xffff)) |
           bf16_bits(as_f32((u32)old & 0xffff0000u) +
                     as_f32((u32)x & 0xffff0000u))
               << 16;
  }
  return old;
}
static bool atomic_lanes(Wave *w, const Inst *i, const u64 *address,
                         u64 lanes) {
  Machine *m = w->machine;
  bool wide = i->size == 8, returns = i->flags & F_RETURNS;
  u32 row = i->src[2].reg, words = wide ? 2 : 1;
  ++m->stats.atomics;
  if (!sample_late_loads(w->cu) ||
      !add_pend(w, i, returns ? PEND_LOAD : PEND_BARE, true, i->flags & F_FLAT,
                returns ? 128u + i->dst : 0, returns ? words : 0))
    return false;
  if (w->exec)
    w->last_address = address[__builtin_ctzll(w->exec)];
  for (u64 rest = lanes; rest; rest &= rest - 1) {
    int l = __builtin_ctzll(rest), error = ERROR_ALIGN;
    u64 a = address[l];
    u8 *p = a % i->size ? NULL : translate(m, a, i->size, true, &error);
    if (unlikely(!p)) {
      raise_error(w, i, error, a, i->size, l, 1);
      return false;
    }
    if (m->config.caches)
      flush_line(m, w->cu, a & ~(u64)(LINE - 1));
    u64 x = w->v[row][l] | (wide ? (u64)w->v[row + 1][l] << 32 : 0),
        compare = 0;
    if (i->imm == ATOMIC_CMPSWAP)
      compare = w->v[row + words][l] |
                (wide ? (u64)w->v[row + words + 1][l] << 32 : 0);
    u64 old = wide ? load8(p) : load4(p),
        fresh = atomic_result(i->imm, wide, old, x, compare);
    if (!wide)
      fresh = (u32)fresh;
    if (fresh != old) {
      ++m->progress;
      if (m->config.caches)
        remember_line(m, w->cu->xcd, a & ~(u64)(LINE - 1));
    }
    memcpy(p, &fresh, i->size);
    if (returns) {
      w->v[i->dst][l] = (u32)old;
      if (wide)
        w->v[i->dst + 1][l] = (u32)(old >> 32);
    }
  }
  return true;
}
// `before`: the machine's progress before it; an atomic that changes nothing is
// how some waves poll.
static const Inst *after_atomic(Wave *w, const Inst *i, u64 before, bool ok) {
  if (unlikely(!ok))
    return stop(w, i, STOP_ERROR);
  Group *g = w->group;
  bool starves = w->machine->progress != before && g->plenty && !--g->plenty && g->patience;
  return starves || toss(w->machine, w->machine->config.yield_atomic)
             ? stop(w, i + 1, STOP_YIELD)
             : i + 1;
}
static const Inst *run_x_atomic(Wave *w, const Inst *i) {
  u64 before = w->machine->progress;
  u64 address[LANES];
  global_addresses(w, i, address);
  return after_atomic(w, i, before, atomic_lanes(w, i, address, w->exec));
}
static const Inst *run_x_buffer_atomic(Wave *w, const Inst *i) {
  u64 before = w->machine->progress;
  u64 address[LANES], whole = 0;
  u8 valid[LANES];
  buffer_addresses(w, i, address, valid);
  EACH_LANE whole |= (u64)(valid[l] == i->size) << l;
  return after_atomic(w, i, before, atomic_lanes(w, i, address, w->exec & whole));
}

// ---- cache control ----
void perform_writeback(Wave *w, Pend *p) {
  p->deferred = false;
  drain_cu(w->machine, w->cu, p->sequence);
  writeback_l2(w->machine, w->cu->xcd);
}
static const Inst *run_buffer_wbl2(Wave *w, const Inst *i) {
  Machine *m = w->machine;
  if (!(i->flags &
        F_SC1)) // wave and workgroup scope: the L2 is the meeting place
    return i + 1;
  Pend *p = add_pend(w, i, PEND_WRITEBACK, true, false, 0, 0);
  if (!p)
    return stop(w, i, STOP_ERROR);
  if (m->config.caches) {
    p->sequence = m->sequence;
    p->deferred = true;
    if (!toss(m, m->config.defer_store))
      perform_writeback(w, p);
  } else {
    ++m->stats.writebacks;
  }
  return i + 1;
}
static const Inst *run_buffer_inv(Wave *w, const Inst *i) {
  Machine *m = w->machine;
  if (i->flags & (F_SC0 | F_SC1)) {
    if (m->config.caches)
      invalidate_l1(w->cu);
    ++m->stats.invalidates_l1;
  }
  if (i->flags & F_SC1) {
    if (m->config.caches)
      invalidate_l2(m, w->cu->xcd);
    else
      ++m->stats.invalidates_l2;
  }
  return i + 1;
}
static const Inst *run_s_dcache_inv(Wave *w, const Inst *i) {
  if (w->machine->config.caches)
    invalidate_scalar(w->cu);
  return i + 1;
}

// ---- scalar loads ----
// src[0] base pair (or buffer descriptor, imm 1), src[1] offset; size in bytes.
static const Inst *run_x_scalar_load(Wave *w, const Inst *i) {
  Machine *m = w->machine;
  u64 base = get_pair(w, i->src[0].reg),
      offset = (i->src[1].kind == OPERAND_NONE ? 0 : scalar32(w, &i->src[1])) +
               (u64)(i64)i->offset;
  u32 words = i->size / 4, to[16];
  u64 records = ~0ull;
  if (i->imm) {
    base &= 0xffffffffffffull;
    u32 stride = w->s[i->src[0].reg + 1] >> 16 & 0x3fff;
    records = (u64)w->s[i->src[0].reg + 2] * (stride ? stride : 1);
  }
  u64 a = (base + offset) & ~3ull;
  for (u32 j = 0; j < words; ++j) {
    int error = 0;
    u64 at = a + 4 * j;
    if (offset + 4 * j + 4 > records) {
      to[j] = 0;
      continue;
    }
    const u8 *p = translate(m, at, 4, false, &error);
    if (unlikely(!p)) {
      raise_error(w, i, error, at, 4, -1, 0);
      return stop(w, i, STOP_ERROR);
    }
    if (m->config.caches)
      p = read_line_scalar(m, w->cu, at & ~(u64)(LINE - 1)) + at % LINE;
    to[j] = load4(p);
  }
  if (!add_pend(w, i, PEND_SCALAR, false, true, i->dst, words))
    return stop(w, i, STOP_ERROR);
  memcpy(w->s + i->dst, to, 4 * words);
  return i + 1;
}

const Opcode access_opcodes[] = {
    {"x_load", run_x_load, "none"},
    {"x_buffer_load", run_x_buffer_load, "none"},
    {"x_store", run_x_store, "none"},
    {"x_buffer_store", run_x_buffer_store, "none"},
    {"x_atomic", run_x_atomic, "none"},
    {"x_buffer_atomic", run_x_buffer_atomic, "none"},
    {"x_scalar_load", run_x_scalar_load, "none"},
    {"buffer_wbl2", run_buffer_wbl2, "none"},
    {"buffer_inv", run_buffer_inv, "none"},
    {"s_dcache_inv", run_s_dcache_inv, "none"},
    {NULL, NULL, NULL},
};
