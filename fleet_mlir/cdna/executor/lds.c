// LDS instructions. An operation is made at once, or, by the seed, only when
// the wave waits for it: then all later ones of the wave are put off too,
// because a wave's LDS operations keep their order.
//
// src[0] address, src[1] and src[2] data; offset and imm: byte offsets of the
// first and the second access. For atomics imm is the operation.
#include "memory.h"
#include "table.h"

// Operands of an operation: rows in the register file, or copies of them.
typedef struct {
  const u32 *address;
  const u32 *data[2]; // first row of each
  u64 exec;
} Rows;
typedef bool (*Access)(Wave *w, const Inst *i, const Rows *r);

static u8 *place(Wave *w, const Inst *i, u32 address, u32 offset, u32 size,
                 int l, bool store) {
  u64 at = (u64)address + offset;
  if (likely(at + size <= w->group->lds_size))
    return w->group->lds + at;
  raise_error(w, i, ERROR_LDS, at, size, l, store);
  return NULL;
}
#define INLINE static inline __attribute__((always_inline))
INLINE bool read_sized(Wave *w, const Inst *i, const Rows *r, u32 offset,
                       u32 size, u32 *d) {
  for (u64 rest = r->exec; rest; rest &= rest - 1) {
    int l = __builtin_ctzll(rest);
    const u8 *p = place(w, i, r->address[l], offset, size, l, false);
    if (unlikely(!p))
      return false;
    for (u32 j = 0; j < size / 4; ++j)
      d[LANES * j + l] = load4(p + 4 * j);
  }
  return true;
}
static bool read_narrow(Wave *w, const Inst *i, const Rows *r) {
  u32 size = i->size, *d = w->v[i->dst], bits = 8 * size;
  for (u64 rest = r->exec; rest; rest &= rest - 1) {
    int l = __builtin_ctzll(rest);
    const u8 *p = place(w, i, r->address[l], (u32)i->offset, size, l, false);
    if (unlikely(!p))
      return false;
    u32 x = size == 2 ? load2(p) : *p;
    if (i->flags & F_SIGNED)
      x = (u32)((i32)(x << (32 - bits)) >> (32 - bits));
    d[l] = i->flags & F_D16_HI ? (d[l] & 0xffff) | x << 16
           : i->flags & F_D16  ? (d[l] & 0xffff0000u) | (x & 0xffff)
                               : x;
  }
  return true;
}
static bool read_at(Wave *w, const Inst *i, const Rows *r, u32 offset,
                    u32 row) {
  u32 *d = w->v[row];
  switch (i->size) {
  case 4:
    return read_sized(w, i, r, offset, 4, d);
  case 8:
    return read_sized(w, i, r, offset, 8, d);
  case 12:
    return read_sized(w, i, r, offset, 12, d);
  case 16:
    return read_sized(w, i, r, offset, 16, d);
  default:
    return read_narrow(w, i, r);
  }
}
static bool read_one(Wave *w, const Inst *i, const Rows *r) {
  return read_at(w, i, r, (u32)i->offset, i->dst);
}
static bool read_two(Wave *w, const Inst *i, const Rows *r) {
  u32 address[LANES]; // the first result may take its place
  memcpy(address, r->address, sizeof(address));
  Rows rows = {address, {NULL, NULL}, r->exec};
  return read_at(w, i, &rows, (u32)i->offset, i->dst) &&
         read_at(w, i, &rows, i->imm, i->dst + i->size / 4u);
}
INLINE bool write_sized(Wave *w, const Inst *i, const Rows *r, const u32 *data,
                        u32 offset, u32 size) {
  u32 changed = 0, shift = i->flags & F_D16_HI ? 16 : 0;
  for (u64 rest = r->exec; rest; rest &= rest - 1) {
    int l = __builtin_ctzll(rest);
    u8 *p = place(w, i, r->address[l], offset, size, l, true);
    if (unlikely(!p))
      return false;
    if (size < 4) {
      u32 x = data[l] >> shift;
      changed |= (size == 2 ? load2(p) : *p) ^ (size == 2 ? (u16)x : (u8)x);
      memcpy(p, &x, size);
    }
    for (u32 j = 0; j < size / 4; ++j) {
      u32 x = data[LANES * j + l];
      changed |= load4(p + 4 * j) ^ x;
      memcpy(p + 4 * j, &x, 4);
    }
  }
  w->machine->progress += changed != 0;
  return true;
}
static bool write_at(Wave *w, const Inst *i, const Rows *r, const u32 *data,
                     u32 offset) {
  switch (i->size) {
  case 1:
    return write_sized(w, i, r, data, offset, 1);
  case 2:
    return write_sized(w, i, r, data, offset, 2);
  case 4:
    return write_sized(w, i, r, data, offset, 4);
  case 8:
    return write_sized(w, i, r, data, offset, 8);
  case 12:
    return write_sized(w, i, r, data, offset, 12);
  default:
    return write_sized(w, i, r, data, offset, 16);
  }
}
static bool write_one(Wave *w, const Inst *i, const Rows *r) {
  return write_at(w, i, r, r->data[0], (u32)i->offset);
}
static bool write_two(Wave *w, const Inst *i, const Rows *r) {
  return write_at(w, i, r, r->data[0], (u32)i->offset) &&
         write_at(w, i, r, r->data[1], i->imm);
}
static bool modify(Wave *w, const Inst *i, const Rows *r) {
  bool wide = i->size == 8;
  for (u64 rest = r->exec; rest; rest &= rest - 1) {
    int l = __builtin_ctzll(rest);
    u8 *p = place(w, i, r->address[l], (u32)i->offset, i->size, l, true);
    if (unlikely(!p))
      return false;
    u64 x = r->data[0][l] | (wide ? (u64)r->data[0][LANES + l] << 32 : 0),
        compare = 0;
    if (i->imm ==
        ATOMIC_CMPSWAP) { // the first data operand is what is compared
      compare = x;
      x = r->data[1][l] | (wide ? (u64)r->data[1][LANES + l] << 32 : 0);
    }
    u64 old = wide ? load8(p) : load4(p),
        fresh = atomic_result(i->imm, wide, old, x, compare);
    if (!wide)
      fresh = (u32)fresh;
    memcpy(p, &fresh, i->size);
    w->machine->progress += fresh != old;
    if (i->flags & F_RETURNS) {
      w->v[i->dst][l] = (u32)old;
      if (wide)
        w->v[i->dst + 1][l] = (u32)(old >> 32);
    }
  }
  return true;
}
// gfx950: 16 lanes read 64 / bits rows of 16 elements, 8 bytes a lane, row by
// row; lane c receives column c.
INLINE bool read_columns(Wave *w, const Inst *i, const Rows *r, int bits) {
  int count = 64 / bits,
      lanes = 16 / count; // elements, and lanes that hold a row
  u64 block[LANES] = {0}, mask = (1ull << bits) - 1;
  for (u64 rest = r->exec; rest; rest &= rest - 1) {
    int l = __builtin_ctzll(rest);
    const u8 *p = place(w, i, r->address[l], (u32)i->offset, 8, l, false);
    if (unlikely(!p))
      return false;
    block[l] = load8(p);
  }
  EACH_LANE if (r->exec >> l & 1) {
    int first = l & ~15, c = l & 15;
    u64 x = 0;
    for (int k = 0; k < count; ++k)
      x |= (block[first + k * lanes + c / count] >> (bits * (c % count)) & mask)
           << (bits * k);
    w->v[i->dst][l] = (u32)x;
    w->v[i->dst + 1][l] = (u32)(x >> 32);
  }
  return true;
}
static bool read_tr16(Wave *w, const Inst *i, const Rows *r) {
  return read_columns(w, i, r, 16);
}
static bool read_tr8(Wave *w, const Inst *i, const Rows *r) {
  return read_columns(w, i, r, 8);
}

static u32 result_words(const Inst *i, Access access) {
  if (access == read_one || access == read_tr16 || access == read_tr8)
    return i->size > 4 ? i->size / 4u : 1;
  if (access == read_two)
    return i->size / 2u;
  return access == modify && i->flags & F_RETURNS ? i->size / 4u : 0;
}
static Access access_of(const Inst *i);
static u32 data_words(const Inst *i, Access access, int k) {
  if (k == 1 && access != write_two &&
      !(access == modify && i->imm == ATOMIC_CMPSWAP))
    return 0;
  return access == read_one || access == read_two || access == read_tr16 ||
                 access == read_tr8
             ? 0
         : i->size > 4 ? i->size / 4u
                       : 1;
}
bool perform_ds(Wave *w, Pend *p) {
  bool ok = true;
  // In order: first whatever the wave put off before.
  for (Pend *q = w->pend; q <= p && ok; ++q) {
    if (q->kind != PEND_DS || !q->deferred)
      continue;
    q->deferred = false;
    Access access = access_of(q->inst);
    u32 *at = q->data;
    Rows rows = {
        at,
        {at + LANES, at + LANES * (1 + data_words(q->inst, access, 0))},
        q->exec};
    ok = access(w, q->inst, &rows);
  }
  return ok;
}
static bool any_deferred(const Wave *w) {
  for (int k = 0; k < w->npend; ++k)
    if (w->pend[k].kind == PEND_DS && w->pend[k].deferred)
      return true;
  return false;
}
static const Inst *operate(Wave *w, const Inst *i, Access access) {
  Machine *m = w->machine;
  u32 words = result_words(i, access);
  bool put_off = w->any_deferred && any_deferred(w);
  w->any_deferred = put_off;
  Pend *p =
      add_pend(w, i, PEND_DS, false, true, words ? 128u + i->dst : 0, words);
  if (!p)
    return stop(w, i, STOP_ERROR);
  const u32 *address = w->v[i->src[0].reg];
  if (likely(!put_off && !toss(m, m->config.defer_ds))) {
    Rows rows = {address, {w->v[i->src[1].reg], w->v[i->src[2].reg]}, w->exec};
    return likely(access(w, i, &rows)) ? i + 1 : stop(w, i, STOP_ERROR);
  }
  u32 first = data_words(i, access, 0), second = data_words(i, access, 1);
  p->data = malloc(4 * LANES * (1 + first + second));
  memcpy(p->data, address, 4 * LANES);
  memcpy(p->data + LANES, w->v[i->src[1].reg], 4 * LANES * first);
  memcpy(p->data + LANES * (1 + first), w->v[i->src[2].reg],
         4 * LANES * second);
  p->deferred = w->any_deferred = true;
  ++m->stats.deferred;
  return i + 1;
}
#define OPERATION(NAME, ACCESS)                                                \
  static const Inst *run_##NAME(Wave *w, const Inst *i) {                      \
    return operate(w, i, ACCESS);                                              \
  }
OPERATION(x_ds_read, read_one)
OPERATION(x_ds_read2, read_two)
OPERATION(x_ds_write, write_one)
OPERATION(x_ds_write2, write_two)
OPERATION(x_ds_atomic, modify)
OPERATION(x_ds_read_tr16, read_tr16)
OPERATION(x_ds_read_tr8, read_tr8)
static Access access_of(const Inst *i) {
  return i->run == run_x_ds_read       ? read_one
         : i->run == run_x_ds_read2    ? read_two
         : i->run == run_x_ds_write    ? write_one
         : i->run == run_x_ds_write2   ? write_two
         : i->run == run_x_ds_atomic   ? modify
         : i->run == run_x_ds_read_tr8 ? read_tr8
                                       : read_tr16;
}

// ---- permutations: through the LDS unit, not through its memory ----
static const Inst *permuted(Wave *w, const Inst *i, const u32 *result) {
  if (!add_pend(w, i, PEND_DS, false, true, 128u + i->dst, 1))
    return stop(w, i, STOP_ERROR);
  u32 *d = w->v[i->dst];
  FOR_LANES d[l] = w->on[l] ? result[l] : d[l];
  return i + 1;
}
static const Inst *
run_ds_bpermute_b32(Wave *w, const Inst *i) { // inactive sources read as zero
  u32 r[LANES];
  const u32 *address = w->v[i->src[0].reg], *data = w->v[i->src[1].reg];
  EACH_LANE {
    u32 from = (address[l] + (u32)i->offset) / 4 & 63;
    r[l] = data[from] & w->on[from];
  }
  return permuted(w, i, r);
}
static const Inst *run_ds_permute_b32(Wave *w, const Inst *i) {
  u32 r[LANES] = {0};
  const u32 *address = w->v[i->src[0].reg], *data = w->v[i->src[1].reg];
  EACH_LANE if (is_on(w, l)) r[(address[l] + (u32)i->offset) / 4 & 63] =
      data[l];
  return permuted(w, i, r);
}
static const Inst *run_ds_swizzle_b32(Wave *w, const Inst *i) { // imm: table
  u32 r[LANES];
  const u8 *perm = w->machine->perms + i->imm * LANES;
  const u32 *data = w->v[i->src[0].reg];
  EACH_LANE r[l] = data[perm[l]] & w->on[perm[l]];
  return permuted(w, i, r);
}

const Opcode lds_opcodes[] = {
    {"x_ds_read", run_x_ds_read, "none"},
    {"x_ds_read2", run_x_ds_read2, "none"},
    {"x_ds_write", run_x_ds_write, "none"},
    {"x_ds_write2", run_x_ds_write2, "none"},
    {"x_ds_atomic", run_x_ds_atomic, "none"},
    {"x_ds_read_tr16", run_x_ds_read_tr16, "none"},
    {"x_ds_read_tr8", run_x_ds_read_tr8, "none"},
    {"ds_bpermute_b32", run_ds_bpermute_b32, "none"},
    {"ds_permute_b32", run_ds_permute_b32, "none"},
    {"ds_swizzle_b32", run_ds_swizzle_b32, "none"},
    {NULL, NULL, NULL},
};
