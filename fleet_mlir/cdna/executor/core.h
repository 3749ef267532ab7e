// Data structures shared by all parts of the executor, and the conversions
// between register bits and C values.
//
// One Wave holds 64 lanes. A vector register is a row of 64 words, so that an
// instruction is a loop over a row which the host compiler vectorises. Rows 0
// to 255 are VGPRs, 256 to 511 AGPRs, and the last rows are scratch space for
// the micro-instructions into which the decoder splits DPP and SDWA forms.
#ifndef FLEET_CDNA_CORE_H
#define FLEET_CDNA_CORE_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t i8;
typedef int16_t i16;
typedef int32_t i32;
typedef int64_t i64;
typedef _Float16 f16;
typedef unsigned __int128 u128;
typedef __int128 i128;

enum {
  LANES = 64,
  ROWS = 520,
  ROW_AGPR = 256,
  ROW_SCRATCH = 512, // what an SDWA instruction writes before it is merged
  ROW_DPP = 514,     // what a DPP instruction reads in place of its source
  SGPRS = 128,
  SGPR_VCC = 106,
  SGPR_M0 = 124,
  SGPR_EXEC = 126,
  LINE = 128,     // bytes of a cache line
  CHANNELS = 16,  // request queues between a CU and its L2
  MAX_WAVES = 16, // waves of one workgroup
  SCALAR_LINES = 128,
};
#define POISON                                                                 \
  0xffd1ffd1u // a NaN as f32, bf16 and f16; as an address, out of range

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define FOR_LANES                                                              \
  _Pragma("clang loop vectorize(assume_safety)") for (int l = 0; l < LANES; ++l)
// For bodies that are not independent, or call functions.
#define EACH_LANE for (int l = 0; l < LANES; ++l)

typedef struct Wave Wave;
typedef struct Inst Inst;
typedef struct Machine Machine;
typedef struct Group Group;
typedef struct Cu Cu;
typedef struct History History;
// Executes an instruction and returns the next one, or null when the wave
// must give the host thread back (Wave::stop says why).
typedef const Inst *(*Handler)(Wave *, const Inst *);

typedef enum {
  OPERAND_NONE,
  OPERAND_ROW,
  OPERAND_SGPR,
  OPERAND_CONST,
  OPERAND_SCC
} OperandKind;

enum { // Operand::mods
  MOD_NEG = 1,
  MOD_ABS = 2,
  MOD_F16 = 4, // the sign is bit 15
  MOD_F64 = 8, // the sign is bit 63
  MOD_SEXT = 16,
};

typedef struct {
  u8 kind, mods;
  u8 select; // 0: all; 1 to 4: byte 0 to 3; 5, 6: half 0, 1
  u8 words;
  u16 reg;   // row or SGPR
  u16 plain; // set by cdna_set_code: a row without modifiers
  u64 value; // of a constant
} Operand;

enum {           // Inst::flags
  F_RETURNS = 1, // an atomic that returns the old value
  F_SC0 = 2,     // coherence bits of a memory instruction
  F_SC1 = 4,
  F_NT = 8,
  F_LDS = 16, // the load's destination is LDS
  F_OFFEN = 32,
  F_IDXEN = 64,
  F_MICRO = 128,   // a step of the instruction before it: not counted
  F_D16_HI = 256,  // the 16-bit value stands in the upper half
  F_D16 = 512,     // a 16-bit load that keeps the other half
  F_SIGNED = 1024, // a sub-word load that extends the sign
  F_FLAT = 2048,   // may address LDS
};

// One decoded instruction: 232 bytes, filled by decode.py (RECORD there).
struct Inst {
  Handler run;       // resolved by cdna_prepare
  const u32 *row[4]; // constants, broadcast to 64 lanes
  Operand src[4];
  u64 mask[2];   // DPP: valid lanes, enabled lanes; others: see handler
  i32 offset;    // of a memory instruction, bytes
  u32 imm;       // handler specific
  i32 target;    // index of a branch's destination
  u32 pc;        // byte offset in the text section
  u16 op;        // index in the opcode table
  u16 dst, sdst; // destination row or SGPR; second destination
  u16 flags;
  u8 size;       // bytes a lane of a memory access
  u8 nuse;       // ranges of registers read or written
  u16 use[8][2]; // first register and count: SGPRs, then rows from 128
};

typedef enum {
  STOP_NONE,
  STOP_QUANTUM,
  STOP_SLEEP,
  STOP_YIELD, // after an atomic, so that another wave may come in between
  STOP_BARRIER,
  STOP_END,
  STOP_ERROR,
} Stop;

typedef enum {
  ERROR_NONE,
  ERROR_MEMORY,   // address outside the registered buffers
  ERROR_READONLY, // a store to a read-only buffer
  ERROR_LDS,      // LDS address outside the allocation
  ERROR_HAZARD,   // a register used before the s_waitcnt of its load
  ERROR_UNKNOWN,  // an instruction that is not implemented
  ERROR_TRAP,
  ERROR_PC, // a jump to where no instruction stands
  ERROR_DEADLOCK,
  ERROR_BUDGET,    // more instructions than the caller allowed
  ERROR_ALIGN,     // an atomic that is not naturally aligned
  ERROR_PLACEMENT, // a workgroup that fits no CU
  ERROR_MODE,      // a floating-point mode that is not implemented
} ErrorCode;

typedef struct {
  i32 code, group, wave, lane;
  u32 pc, size;
  u64 address;
  u32 detail;  // hazard: register; memory: 1 for a store
  u32 detail2; // hazard: pc of the load
} Error;

// A memory instruction that has been issued and not been waited for.
typedef enum {
  PEND_LOAD,
  PEND_STORE,
  PEND_WRITEBACK,
  PEND_SCALAR,
  PEND_DS,
  PEND_BARE
} PendKind;
typedef struct {
  u8 kind;
  bool vm, lgkm;    // the counters on which it still is
  bool deferred;    // the access itself has not been made yet
  u16 first, count; // destination registers
  u32 pc;
  u64 sequence; // of the last queued store that belongs to it
  u64 exec;
  const Inst *inst;
  // A deferred access: its addresses and data, or what it read for LDS.
  u64 *address;
  u32 *data;
  u64 read; // lanes of `data` that have been read for LDS
} Pend;

enum { MAX_PEND = 128 };

typedef enum { WAVE_READY, WAVE_BARRIER, WAVE_ENDED } WaveState;

struct Wave {
  u32 v[ROWS][LANES];
  u32 on[LANES]; // all ones in the lanes of exec
  u32 s[SGPRS];
  u64 exec, saved_exec;
  u32 scc;
  u32 mode; // HW_REG_MODE
  const Inst *ip, *code;
  Machine *machine;
  Group *group;
  Cu *cu;
  int index; // in the workgroup
  int state, stop;
  u32 nap, naps;    // rounds to sleep; consecutive sleeps
  u64 awake;        // instructions since the last sleep
  u32 pace;         // runs in one round out of this many
  bool lingers;     // at s_endpgm, with operations in flight
  u64 count, extra; // instructions executed; micro-instructions among them
  // Memory operations in flight, oldest first.
  Pend pend[MAX_PEND];
  int npend, nvm, nlgkm;
  bool any_deferred; // LDS operations wait to be performed
  u64 pending[10];   // registers they write: bit r of SGPR r, row r at 128 + r
  u64 last_address;  // of the last global load or atomic, for reports
  u32 gpr_index;     // of s_set_gpr_idx
};

// ---- registered memory ----
typedef struct {
  u64 lo, hi; // device addresses
  u8 *host;
  u32 readonly, reserved;
} Range;

// ---- caches ----
enum { L1_WAYS = 4, L2_WAYS = 16 };
typedef struct { // write-through; tags are line address + 1, 0 when empty
  u64 *tag;
  u8 (*data)[LINE];
  u32 sets;
} L1;
typedef struct {
  u64 dirty[2]; // bytes not yet in memory: a bit each
  u64 epoch;    // of the last fill: older than L2::epoch, only dirty bytes are
                // valid
  bool listed;  // in L2::dirty
  u8 data[LINE];
} L2Line;
typedef struct { // write-back
  u64 *tag;
  L2Line *line;
  u32 sets;
  u64 epoch;  // grows when the clean bytes of all lines are invalidated
  u32 *dirty; // indices of the lines that may have dirty bytes
  u32 ndirty;
  u64 invalidated; // when (Machine::sequence)
} L2;
// A store on its way from a CU to its L2.
typedef struct {
  u64 line, sequence;
  u64 mask[2];
  bool through; // to memory (device scope)
  u8 data[LINE];
} Chunk;
typedef struct {
  Chunk *at;
  u32 head, size, capacity;
} Queue;
struct Cu {
  Machine *machine;
  int index, xcd;
  L1 l1;     // vector L1
  L1 scalar; // scalar L1: only s_dcache_inv drops it
  Queue queue[CHANNELS];
  u32 queued;        // chunks in all channels
  u64 invalidated;   // the L1, when
  u32 late;          // deferred loads of the waves on this CU
  int groups, waves; // resident
  u32 lds;           // bytes in use
};

struct Group {
  int id[3], index;
  int nwaves, arrived, ended;
  u8 *lds;
  u32 lds_size;
  // Rounds without progress that it lets pass before it runs (0: none), and how
  // many of its atomics come before that begins.
  u32 patience, plenty;
  Cu *cu;
  Wave *wave[MAX_WAVES];
};

typedef struct {
  u64 instructions, mfma, loads, stores, atomics, l1_hits, l1_misses, l2_hits,
      l2_misses, writebacks, lines_written_back, invalidates_l1, invalidates_l2,
      evictions, deferred, rounds, turns;
} Stats;

// What the caller chooses: filled by machine.py (CONFIG there).
typedef struct {
  u64 seed;
  u32 xcds, cus; // number of chiplets and of CUs in all
  u32 caches;    // 0: one coherent memory, no reordering
  u32 first_xcd; // of workgroup 0
  u32 l1_lines, l2_lines;
  u32 lds_per_cu, waves_per_cu, groups_per_cu;
  u64 max_instructions, stall_instructions;
  u32 stall_rounds;
  // Chances out of 65536, drawn from the seed by machine.py.
  u32 defer_store, defer_load, defer_ds, yield_atomic, drain, evict_l1,
      evict_l2, slow_wave, slow_pace, straggle, stale, starve;
  u32 patience, starve_after, quantum;
} Config;

typedef struct {
  u32 entry; // index of the first instruction
  u32 grid[3], block[3];
  u32 user_sgprs, workgroup_ids; // count; bits 0 to 2: x, y, z
  u32 workgroup_info;
  u32 vgprs, agprs; // allocated rows
  u32 lds, mode;
  u32 user[32];
} Dispatch;

struct Machine {
  Config config;
  Range *range;
  u32 nrange;
  Range *hint; // the range of the last access
  Inst *code;
  u32 ncode;
  const i32 *index_of; // text offset / 4 -> instruction, -1 where none starts
  u32 text_words;
  u64 text_address; // device address of the text section
  const u8 *perms;  // DPP tables, 64 bytes each
  u32 **broadcast;
  u32 nbroadcast;
  u32 *cu_xcd;
  Cu *cu;
  L2 *l2;
  History *history;
  u64 random, sequence, progress, clock;
  Stats stats;
  Error error;
  Group **group;
  u32 ngroup;
  Wave **wave;
  u32 nwave, mwave;
  u8 line_data[LINE]; // of the last uncached read
};

// ---- random numbers: xorshift64* ----
static inline u64 next_random(Machine *m) {
  u64 x = m->random;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  m->random = x;
  return x * 0x2545f4914f6cdd1dull >> 16;
}
// True with a chance of `chance` out of 65536.
static inline bool toss(Machine *m, u32 chance) {
  return chance && (next_random(m) & 0xffff) < chance;
}

// ---- bits and values ----
static inline float as_f32(u32 x) {
  float f;
  memcpy(&f, &x, 4);
  return f;
}
static inline u32 f32_bits(float f) {
  u32 x;
  memcpy(&x, &f, 4);
  return x;
}
static inline double as_f64(u64 x) {
  double f;
  memcpy(&f, &x, 8);
  return f;
}
static inline u64 f64_bits(double f) {
  u64 x;
  memcpy(&x, &f, 8);
  return x;
}
static inline f16 as_f16(u32 x) {
  f16 f;
  u16 y = (u16)x;
  memcpy(&f, &y, 2);
  return f;
}
static inline u32 f16_bits(f16 f) {
  u16 x;
  memcpy(&x, &f, 2);
  return x;
}
static inline float as_bf16(u32 x) { return as_f32(x << 16); }
static inline u32 bf16_bits(float f) { // round to nearest even
  u32 u = f32_bits(f);
  u32 rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
  return (u & 0x7fffffff) > 0x7f800000 ? (u >> 16) | 0x40 : rounded;
}
static inline u32 load2(const u8 *p) {
  u16 x;
  memcpy(&x, p, 2);
  return x;
}
static inline u32 load4(const u8 *p) {
  u32 x;
  memcpy(&x, p, 4);
  return x;
}
static inline u64 load8(const u8 *p) {
  u64 x;
  memcpy(&x, p, 8);
  return x;
}

static inline const Inst *stop(Wave *w, const Inst *next, int why) {
  w->ip = next;
  w->stop = why;
  return NULL;
}
static inline void raise_error(Wave *w, const Inst *i, int code, u64 address,
                               u32 size, int lane, u32 detail) {
  Error *e = &w->machine->error;
  if (e->code)
    return; // the first one counts
  e->code = code;
  e->group = w->group->index;
  e->wave = w->index;
  e->pc = i->pc;
  e->address = address;
  e->size = size;
  e->lane = lane;
  e->detail = detail;
}
static inline void set_exec(Wave *w, u64 exec) {
  w->exec = exec;
  w->s[SGPR_EXEC] = (u32)exec;
  w->s[SGPR_EXEC + 1] = (u32)(exec >> 32);
  u32 half[2] = {(u32)exec, (u32)(exec >> 32)};
  for (int h = 0; h < 2; ++h) {
    u32 bits = half[h];
    u32 *on = w->on + 32 * h;
    _Pragma("clang loop vectorize(assume_safety)") for (u32 l = 0; l < 32; ++l)
        on[l] = -((bits >> l) & 1);
  }
}
static inline bool is_on(const Wave *w, int l) { return w->exec >> l & 1; }
static inline void put_pair(Wave *w, u32 reg, u64 x) {
  w->s[reg] = (u32)x;
  w->s[reg + 1] = (u32)(x >> 32);
}
static inline u64 get_pair(const Wave *w, u32 reg) {
  return w->s[reg] | (u64)w->s[reg + 1] << 32;
}

// ---- operands ----
static inline u32 scalar32(const Wave *w, const Operand *o) {
  switch (o->kind) {
  case OPERAND_SGPR:
    return w->s[o->reg];
  case OPERAND_SCC:
    return w->scc;
  default:
    return (u32)o->value;
  }
}
static inline u64 scalar64(const Wave *w, const Operand *o) {
  switch (o->kind) {
  case OPERAND_SGPR:
    return get_pair(w, o->reg);
  case OPERAND_SCC:
    return w->scc;
  default:
    return o->value;
  }
}
// A source as a row of 64 words (two rows when `words` is 2): in place when it
// can be, otherwise built in `tmp`.
const u32 *fetch_slow(Wave *w, const Inst *i, int k, u32 *tmp);
static inline const u32 *fetch(Wave *w, const Inst *i, int k, u32 *tmp) {
  const Operand *o = &i->src[k];
  if (likely(o->plain))
    return w->v[o->reg];
  return fetch_slow(w, i, k, tmp);
}
static inline u64 pack_lanes(const u32 *row) { // lanes that are not zero
  u64 r = 0;
  typedef u32 Vector __attribute__((ext_vector_type(16)));
  typedef bool Bools __attribute__((ext_vector_type(16)));
  for (int k = 0; k < 4; ++k) {
    Vector x;
    memcpy(&x, row + 16 * k, 64);
    Bools b = __builtin_convertvector(x != 0, Bools);
    u16 bits;
    memcpy(&bits, &b, 2);
    r |= (u64)bits << (16 * k);
  }
  return r;
}

#endif
