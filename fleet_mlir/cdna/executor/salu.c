// Scalar arithmetic, control flow and hardware registers.
#include "core.h"
#include "table.h"

static u64 whole_quads(u64 x) {
  u64 r = 0;
  for (int k = 0; k < 64; k += 4)
    if (x >> k & 15)
      r |= 15ull << k;
  return r;
}
// The second source holds the offset from bit 0 and the width from bit 16.
static u32 bit_field_u32(u32 x, u32 field) {
  u32 offset = field & 31, width = field >> 16 & 127;
  return !width        ? 0
         : width >= 32 ? x >> offset
                       : x >> offset & ((1u << width) - 1);
}
static u32 bit_field_i32(u32 x, u32 field) {
  u32 offset = field & 31, width = field >> 16 & 127;
  i64 shifted = (i64)(i32)x >> offset;
  return !width ? 0
         : width >= 32
             ? (u32)shifted
             : (u32)((i32)((u32)shifted << (32 - width)) >> (32 - width));
}
static u64 bit_field_u64(u64 x, u32 field) {
  u32 offset = field & 63, width = field >> 16 & 127;
  return !width        ? 0
         : width >= 64 ? x >> offset
                       : x >> offset & ((1ull << width) - 1);
}
static u64 bit_field_i64(u64 x, u32 field) {
  u32 offset = field & 63, width = field >> 16 & 127;
  i64 shifted = (i64)x >> offset;
  return !width ? 0
         : width >= 64
             ? (u64)shifted
             : (u64)((i64)((u64)shifted << (64 - width)) >> (64 - width));
}

#define CTYPE_U u32
#define CTYPE_I i32
#define CTYPE_Q u64
#define CTYPE_J i64
#define READ_U(o) scalar32(w, o)
#define READ_I(o) (i32) scalar32(w, o)
#define READ_Q(o) scalar64(w, o)
#define READ_J(o) (i64) scalar64(w, o)
#define WRITE_U(x) w->s[i->dst] = (u32)(x)
#define WRITE_I(x) w->s[i->dst] = (u32)(x)
#define WRITE_Q(x) put_pair(w, i->dst, (u64)(x))
#define WRITE_J(x) put_pair(w, i->dst, (u64)(x))
#define SALU1(NAME, D, A, E, SCC)                                              \
  static const Inst *run_##NAME(Wave *w, const Inst *i) {                      \
    CTYPE_##A x0 = READ_##A(&i->src[0]);                                       \
    u32 scc = w->scc;                                                          \
    CTYPE_##D r = E;                                                           \
    scc = (SCC);                                                               \
    WRITE_##D(r);                                                              \
    w->scc = scc;                                                              \
    return i + 1;                                                              \
  }
#define SALU2(NAME, D, A, B, E, SCC)                                           \
  static const Inst *run_##NAME(Wave *w, const Inst *i) {                      \
    CTYPE_##A x0 = READ_##A(&i->src[0]);                                       \
    CTYPE_##B x1 = READ_##B(&i->src[1]);                                       \
    u32 scc = w->scc;                                                          \
    CTYPE_##D r = E;                                                           \
    scc = (u32)(SCC);                                                          \
    WRITE_##D(r);                                                              \
    w->scc = scc;                                                              \
    return i + 1;                                                              \
  }
#define SCMP(NAME, T, E)                                                       \
  static const Inst *run_##NAME(Wave *w, const Inst *i) {                      \
    CTYPE_##T x0 = READ_##T(&i->src[0]), x1 = READ_##T(&i->src[1]);            \
    w->scc = (E);                                                              \
    return i + 1;                                                              \
  }
#define SCMPB(NAME, E)                                                         \
  static const Inst *run_##NAME(Wave *w, const Inst *i) {                      \
    u64 x0 = scalar64(w, &i->src[0]);                                          \
    u32 x1 = scalar32(w, &i->src[1]);                                          \
    w->scc = (E);                                                              \
    return i + 1;                                                              \
  }
#define SAVEEXEC(NAME, E)                                                      \
  static const Inst *run_##NAME(Wave *w, const Inst *i) {                      \
    u64 x0 = scalar64(w, &i->src[0]), exec = w->exec;                          \
    put_pair(w, i->dst, exec);                                                 \
    set_exec(w, E);                                                            \
    w->scc = w->exec != 0;                                                     \
    return i + 1;                                                              \
  }
#define BRANCH(NAME, E)                                                        \
  static const Inst *run_##NAME(Wave *w, const Inst *i) {                      \
    return (E) ? w->code + i->target : i + 1;                                  \
  }
#include "salu.def"

// ---- control ----
static const Inst *run_s_nop(Wave *w, const Inst *i) { return i + 1; }
static const Inst *run_s_endpgm(Wave *w, const Inst *i) {
  return stop(w, i, STOP_END);
}
static const Inst *run_s_barrier(Wave *w, const Inst *i) {
  return stop(w, i + 1, STOP_BARRIER);
}
static const Inst *run_s_sleep(Wave *w, const Inst *i) {
  return stop(w, i + 1, STOP_SLEEP);
}
static const Inst *run_s_trap(Wave *w, const Inst *i) {
  raise_error(w, i, ERROR_TRAP, i->imm, 0, -1, 0);
  return stop(w, i, STOP_ERROR);
}
static const Inst *run_x_unknown(Wave *w, const Inst *i) {
  raise_error(w, i, ERROR_UNKNOWN, 0, 0, -1, 0);
  return stop(w, i, STOP_ERROR);
}
static const Inst *jump(Wave *w, const Inst *i, u64 address) {
  Machine *m = w->machine;
  u64 word = (address - m->text_address) / 4;
  if (address % 4 || word >= m->text_words || m->index_of[word] < 0) {
    raise_error(w, i, ERROR_PC, address, 4, -1, 0);
    return stop(w, i, STOP_ERROR);
  }
  return w->code + m->index_of[word];
}
// imm: length of this instruction in bytes.
static u64 next_address(const Wave *w, const Inst *i) {
  return w->machine->text_address + i->pc + i->imm;
}
static const Inst *run_s_getpc_b64(Wave *w, const Inst *i) {
  put_pair(w, i->dst, next_address(w, i));
  return i + 1;
}
static const Inst *run_s_setpc_b64(Wave *w, const Inst *i) {
  return jump(w, i, scalar64(w, &i->src[0]));
}
static const Inst *run_s_swappc_b64(Wave *w, const Inst *i) {
  u64 target = scalar64(w, &i->src[0]);
  put_pair(w, i->dst, next_address(w, i));
  return jump(w, i, target);
}
static const Inst *run_s_call_b64(Wave *w, const Inst *i) {
  put_pair(w, i->dst, next_address(w, i));
  return w->code + i->target;
}

// ---- hardware registers ----
enum {
  HW_MODE = 1,
  HW_STATUS = 2,
  HW_TRAPSTS = 3,
  HW_ID = 4,
  HW_GPR_ALLOC = 5,
  HW_LDS_ALLOC = 6,
  HW_IB_STS = 7,
  HW_XCC_ID = 20
};
void apply_mode(const Wave *w);
// imm: register; offset: first bit | width << 8.
static const Inst *run_s_getreg_b32(Wave *w, const Inst *i) {
  u32 x = 0, first = (u32)i->offset & 255, width = (u32)i->offset >> 8;
  switch (i->imm) {
  case HW_MODE:
    x = w->mode;
    break;
  case HW_ID: // wave, SIMD and CU in the fields of gfx9
    x = (u32)w->index / 4 | (u32)(w->index & 3) << 4 |
        ((u32)w->cu->index & 15) << 8 | ((u32)w->cu->index >> 4 & 7) << 13;
    break;
  case HW_LDS_ALLOC:
    x = (w->group->lds_size + 511) / 512 << 12;
    break;
  case HW_XCC_ID:
    x = (u32)w->cu->xcd;
    break;
  default:
    break;
  }
  w->s[i->dst] = x >> first & (width >= 32 ? ~0u : (1u << width) - 1);
  return i + 1;
}
static const Inst *run_s_setreg_b32(Wave *w, const Inst *i) {
  u32 x = scalar32(w, &i->src[0]), first = (u32)i->offset & 255,
      width = (u32)i->offset >> 8;
  u32 mask = (width >= 32 ? ~0u : (1u << width) - 1) << first;
  if (i->imm == HW_MODE) {
    w->mode = (w->mode & ~mask) | (x << first & mask);
    if (w->mode & 15) { // only rounding to nearest even is implemented
      raise_error(w, i, ERROR_MODE, w->mode, 0, -1, 0);
      return stop(w, i, STOP_ERROR);
    }
    apply_mode(w);
  }
  return i + 1;
}
static const Inst *
run_s_memtime(Wave *w,
              const Inst *i) { // cycles: one for each instruction of any wave
  put_pair(w, i->dst, w->machine->clock + w->count);
  return i + 1;
}

#undef SALU1
#undef SALU2
#undef SCMP
#undef SCMPB
#undef SAVEEXEC
#undef BRANCH
#define SALU1(NAME, D, A, E, S) {#NAME, run_##NAME, #D "=" #A},
#define SALU2(NAME, D, A, B, E, S) {#NAME, run_##NAME, #D "=" #A #B},
#define SCMP(NAME, T, E) {#NAME, run_##NAME, "=" #T #T},
#define SCMPB(NAME, E) {#NAME, run_##NAME, "=QU"},
#define SAVEEXEC(NAME, E) {#NAME, run_##NAME, "Q=Q"},
#define BRANCH(NAME, E) {#NAME, run_##NAME, "branch"},
const Opcode salu_opcodes[] = {
#include "salu.def"
    {"s_nop", run_s_nop, "none"},
    {"s_endpgm", run_s_endpgm, "none"},
    {"s_barrier", run_s_barrier, "none"},
    {"s_sleep", run_s_sleep, "none"},
    {"s_trap", run_s_trap, "none"},
    {"x_unknown", run_x_unknown, "none"},
    {"s_getpc_b64", run_s_getpc_b64, "Q="},
    {"s_setpc_b64", run_s_setpc_b64, "=Q"},
    {"s_swappc_b64", run_s_swappc_b64, "Q=Q"},
    {"s_call_b64", run_s_call_b64, "branch"},
    {"s_getreg_b32", run_s_getreg_b32, "hwreg"},
    {"s_setreg_b32", run_s_setreg_b32, "hwreg"},
    {"s_setreg_imm32_b32", run_s_setreg_b32, "hwreg"},
    {"s_memtime", run_s_memtime, "Q="},
    {"s_memrealtime", run_s_memtime, "Q="},
    {NULL, NULL, NULL},
};
