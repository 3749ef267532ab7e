// Global memory, caches and the operations in flight.
#ifndef FLEET_CDNA_MEMORY_H
#define FLEET_CDNA_MEMORY_H
#include "core.h"

// ---- caches.c ----
// The host address of [address, address + size), or null outside the buffers.
u8 *translate(Machine *m, u64 address, u32 size, bool store, int *error);
// A line as a load of this CU sees it; valid until the next call.
const u8 *read_line(Machine *m, Cu *cu, u64 line, bool device_scope);
const u8 *read_line_scalar(Machine *m, Cu *cu, u64 line);
Chunk *queue_chunk(Machine *m, Cu *cu, u64 line, bool through);
void update_l1(Cu *cu, const Chunk *chunk);
void drain_channel(Machine *m, Cu *cu, u32 channel, u64 until);
void drain_cu(Machine *m, Cu *cu, u64 until);
// Makes memory the only holder of a line before an atomic is executed there.
void flush_line(Machine *m, Cu *cu, u64 line);
// Before an atomic changes the line.
void remember_line(Machine *m, int xcd, u64 line);
void writeback_l2(Machine *m, int xcd);
void invalidate_l1(Cu *cu);
void invalidate_scalar(Cu *cu);
void invalidate_l2(Machine *m, int xcd);
void build_caches(Machine *m);
void free_caches(Machine *m);
static inline u32 channel_of(u64 line) {
  return (u32)(line / LINE ^ line / LINE / CHANNELS) % CHANNELS;
}

// ---- history.c ----
// Level 0 is memory, whose readers and writers are chiplets; level 1 + x is the
// L2 of chiplet x, whose readers and writers are CUs.
History *new_history(void);
void clear_history(History *h);
// Before a write: what the line held.
void remember(Machine *m, u32 level, u64 line, i32 writer, const u8 *old,
              u32 bytes);
// The oldest content that a reader may still find which has invalidated its
// cache at time `since`, or null when only the newest is allowed.
const u8 *recall(Machine *m, u32 level, u64 line, i32 reader, u64 since);

// ---- flight.c ----
Pend *add_pend(Wave *w, const Inst *i, PendKind kind, bool vm, bool lgkm,
               u32 first, u32 count);
bool wait_vm(Wave *w, u32 allowed);
bool wait_lgkm(Wave *w, u32 allowed);
// At the end of a wave: its LDS operations are made; its stores stay on their
// way, and its loads are forgotten.
bool end_flight(Wave *w);
bool find_hazard(Wave *w, const Inst *i);
// Samples every deferred load of the CU, because a later write of the same CU
// must not be seen by them.
bool sample_late_loads(Cu *cu);

// ---- access.c, lds.c: carry out a deferred operation ----
bool perform_load(Wave *w, Pend *p);
void deliver_lds(Wave *w, Pend *p);
void perform_writeback(Wave *w, Pend *p);
bool perform_ds(Wave *w, Pend *p);

// ---- read-modify-write ----
typedef enum {
  ATOMIC_SWAP,
  ATOMIC_CMPSWAP,
  ATOMIC_ADD,
  ATOMIC_SUB,
  ATOMIC_SMIN,
  ATOMIC_UMIN,
  ATOMIC_SMAX,
  ATOMIC_UMAX,
  ATOMIC_AND,
  ATOMIC_OR,
  ATOMIC_XOR,
  ATOMIC_INC,
  ATOMIC_DEC,
  ATOMIC_ADD_FLOAT,
  ATOMIC_MIN_FLOAT,
  ATOMIC_MAX_FLOAT,
  ATOMIC_PK_ADD_F16,
  ATOMIC_PK_ADD_BF16,
  ATOMIC_SUB_REVERSED,
} AtomicOp;
u64 atomic_result(u32 op, bool wide, u64 old, u64 x, u64 compare);
#endif
